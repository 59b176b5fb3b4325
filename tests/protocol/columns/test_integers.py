from typing import Any

import pytest

from whimbrel_protocol.columns import integers, planning
from whimbrel_protocol.columns.planning import Plan, plan_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

LOW, HIGH = -(2**63), 2**63 - 1

STREAMS: dict[str, tuple[list[int], int]] = {
    "constant": ([7] * 100, planning.CONST),
    "extremes": ([LOW, HIGH, LOW, HIGH, 0], planning.PLANES),
    "steady climb": (list(range(0, 9_000, 90)), planning.PACKED),
    "bits": ([at * at % 7 % 2 for at in range(64)], planning.PACKED),
    "bytes": ([at * 37 % 251 - 100 for at in range(600)] + [5] * 600, planning.PLANES),
    "runs": ([at // 50 * 977 for at in range(500)], planning.RUNS),
    "few far values": (
        [[3, 10**15 + 7, -(10**12)][at * at % 7 % 3] for at in range(200)],
        planning.TABLE,
    ),
    "small constant": ([15] * 4, planning.CONST),
    "one time": ([1_767_254_400_844_000_000], planning.CONST),
    "least time": ([LOW], planning.CONST),
    "steady time": (
        [1_767_254_400_844_000_000 + at * 6 * 10**10 for at in range(9)],
        planning.PACKED,
    ),
    "small bits": ([0, 5, 3, 1], planning.PACKED),
    "fifteen bits": ([0, 2**15 - 1, 9_999, 1], planning.PACKED),
    "multiples": ([at * at % 13 * 10**9 for at in range(9)], planning.PACKED),
}


def write(values: list[int], nest: int = 0, *, light: bool = False) -> bytes:
    out = BodyWriter(light=light)
    integers.write_integers(out, values, nest)
    return out.finish()[0]


def body(head: bytes, planes: bytes = b"", noise: bytes = b"") -> BodyReader:
    return BodyReader(bytes([len(head), 0, len(planes)]) + head + planes + noise)


@pytest.mark.parametrize("name", STREAMS)
def test_every_form_gives_back_its_values(name: str) -> None:
    values, form = STREAMS[name]
    reader = BodyReader(write(values))
    assert integers.read_integers(reader, len(values)) == values
    reader.close()
    assert plan_integers(values).form == form


@pytest.mark.parametrize("name", STREAMS)
def test_light_planning_gives_back_the_same_values(name: str) -> None:
    values, _ = STREAMS[name]
    reader = BodyReader(write(values, light=True))
    assert integers.read_integers(reader, len(values)) == values
    reader.close()


@pytest.mark.parametrize("transform", [planning.DELTA, planning.DELTA2])
def test_differences_beyond_64_bits_are_never_planned(transform: int) -> None:
    assert planning.plan_deltas(transform, (0,), [2**63, -(2**64) + 1]).cost == float("inf")


def test_each_form_can_be_forced_and_read() -> None:
    values = [5, 5, 5, 9, 9, 700, 700, 700, 700]
    for form in (planning.RUNS, planning.TABLE):
        out = BodyWriter()
        integers.write_planned(out, values, Plan(0.0, form))
        reader = BodyReader(out.finish()[0])
        assert integers.read_integers(reader, len(values)) == values


PLANES, PACKED, TABLE, RUNS = 3, 4, 1, 2
BAD: dict[str, tuple[Any, ...]] = {
    "unknown form": (b"\x09\x00",),
    "scaled runs": (bytes([RUNS | 0x40, 3, 1, 0, 2, 0, 8]),),
    "power too large": (bytes([0x40, 19, 0]),),
    "power of none": (bytes([0x40]),),
    "short planes cut": (b"\x06", b"\x00" * 3),
    "short packing cut": (b"\xf6", b"", b"\x00" * 7),
    "one plane cut": (b"\x05\x00", b"\x00" * 3),
    "unknown transform": (b"\x33\x00\x00\x10", b"\x00" * 9),
    "no first value": (b"\x03",),
    "divisor of none": (bytes([PLANES | 0x80, 0, 0, 0x10]), b"\x00" * 4),
    "planes too wide": (bytes([PLANES, 0, 0x90]), b"\x00" * 40),
    "no planes": (bytes([PLANES, 0, 0x00]),),
    "more noise than planes": (bytes([PLANES, 0, 0x12]), b"\x00" * 9),
    "planes cut": (bytes([PLANES, 0, 0x10]), b"\x00\x00\x00"),
    "packed too wide": (bytes([PACKED, 0, 65]), b"", b"\x00" * 40),
    "packed cut": (bytes([PACKED, 0, 16]), b"", b"\x00" * 7),
    "table of one": (bytes([TABLE, 1, 0, 0, 0]),),
    "table larger than the stream": (bytes([TABLE, 5, 0, 0, 0]),),
    "index outside its table": (bytes([TABLE, 2, 0, 0, 2, 0, 8]),),
    "no runs": (bytes([RUNS, 0]),),
    "runs too short": (bytes([RUNS, 2, 0, 2, 0, 2]),),
    "a run of none": (bytes([RUNS, 4, 0, 2, PLANES, 0, 0x10]), b"\x04\x00\x00\x00"),
    "nested too deep": (bytes([RUNS, 2] * 5 + [0, 0] * 6),),
}


@pytest.mark.parametrize("name", BAD)
def test_a_stream_that_breaks_a_rule_is_refused(name: str) -> None:
    with pytest.raises(RemoteProtocolError):
        integers.read_integers(body(*BAD[name]), 4)


@pytest.mark.parametrize(
    ("stream", "value"),
    [
        ((bytes([0x40, 18, 20]),), 10**19 - 2**64),
        ((bytes([PACKED | 0x40, 18, 20, 1]), b"", b"\x00"), 10**19 - 2**64),
        ((bytes([PLANES, 4, 0x80]), b"\xff" * 32), 1),
        ((bytes([TABLE, 2, 2, 0, 1, 0x17]),), 0),
    ],
    ids=["constant", "scaled", "sum", "table"],
)
def test_values_are_counted_modulo_64_bits(stream: tuple[bytes, ...], value: int) -> None:
    assert integers.read_integers(body(*stream), 4) == [value] * 4


def test_usual_streams_have_short_heads() -> None:
    assert len(write([7] * 9)) == 3 + 1
    assert len(write([1, 0, 1, 1] * 4)) == 3 + 1 + 2
    assert len(write([0, 0, 1, 250] * 50)) == 4 + 1 + 200
    assert len(write([1_767_254_400_000_000_000])) == 3 + 6


def test_runs_are_found_and_measured() -> None:
    starts = integers.run_starts([1, 1, 2, 2, 2, 1])
    assert starts == [0, 2, 5]
    assert integers.run_lengths(starts, 6) == [2, 3, 1]
