import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from whimbrel_protocol.batch import columns_info, decode_events, encode_events
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import (
    FieldError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
)
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_FRAME_EVENTS, MAX_FRAME_RAW_BYTES
from whimbrel_protocol.rows import pack_event, pack_events
from whimbrel_sim.storemix import store_events

DATA = Path(__file__).parents[3] / "shared" / "data"
MIX = list(store_events(7, 500))


def test_the_lead_names_codec_and_size() -> None:
    plain = encode_events(MIX, codec="none")
    assert columns_info(plain) == ("none", len(plain))
    for codec in ("lz4", "zstd"):
        name, size_bytes = columns_info(encode_events(MIX, codec=codec))
        assert name == codec
        assert len(plain) - 4 <= size_bytes < len(plain)


def test_one_event_is_a_row_only_where_that_is_smaller() -> None:
    short = [Event(type="t", source="s", time_ns=1, data={"q": 7})]
    row = b"\x14" + pack_event(short[0])
    assert encode_events(short) == row
    assert columns_info(row) == ("row", len(row))
    assert decode_events(row) == short
    repeated = [Event(type="t", source="s", time_ns=1, data={"a": "x" * 90, "b": 2.25})]
    assert columns_info(encode_events(repeated))[0] == "row-words"
    for codec in ("none", "lz4", "zstd"):
        assert columns_info(encode_events(MIX[1:2], codec=codec))[0] in {"none", codec}


def test_one_event_with_words_refers_to_them() -> None:
    for event in MIX[:50]:
        row = pack_event(event)
        data = encode_events([event])
        assert columns_info(data) == ("row-words", len(row))
        assert len(data) < len(row)
        assert decode_events(data) == [event]


def test_few_events_refer_to_the_words_and_many_do_not() -> None:
    assert columns_info(encode_events(MIX[:5]))[0] == "zstd-words"
    assert columns_info(encode_events(MIX))[0] == "zstd"
    for count in (2, 5, 20):
        assert decode_events(encode_events(MIX[:count])) == MIX[:count]


def test_small_batches_are_not_larger_than_their_rows() -> None:
    for count in range(1, 6):
        batches = [MIX[start : start + count] for start in range(0, 200, count)]
        columns = [len(encode_events(events)) for events in batches]
        rows = [len(pack_events(events)) for events in batches]
        assert sum(columns) <= sum(rows)
        assert all(ours <= theirs * 1.02 for ours, theirs in zip(columns, rows, strict=True))


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x80",
        dump_value(["t", "s", 1, {}]) + b"\x00",
        dump_value([["t", "s", 1, {}]]),
        dump_value(["t", "s", 1, {}, 9]),
        dump_value(["t", "s", 1, {"v": "x" * 65_536}]),
        b"\x84\x61t\x61s\x01\xbf\xff",
        b"\x84\x61t\x61s\x01\xa1\x61v\xc1\x00",
        b"\x84\x61t\x61s\x01\xa2\x61v\x01\x61v\x02",
    ],
    ids=lambda row: row[:12].hex(),
)
def test_a_row_from_outside_is_checked_in_full(row: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_events(b"\x14" + row)


def test_auto_is_never_larger_than_any_codec() -> None:
    for count in (0, 1, 3, 10, 40, 500):
        sizes = [len(encode_events(MIX[:count], codec=c)) for c in ("none", "lz4", "zstd")]
        assert len(encode_events(MIX[:count])) <= min(sizes)


def test_no_events_are_tiny() -> None:
    assert len(encode_events([])) <= 8
    assert decode_events(encode_events([])) == []


def test_lanes_do_not_mix() -> None:
    events = [Event(type="t", source="s", time_ns=1, lane=lane) for lane in ("high", "bulk")]
    with pytest.raises(FieldError, match="lane"):
        encode_events(events)


def test_what_a_frame_cannot_hold_is_said() -> None:
    event = MIX[0]
    wide = {f"k{number}": 1 for number in range(101)}
    for events, said in [
        ([event] * (MAX_FRAME_EVENTS + 1), "10001 events"),
        ([Event(type="t", source="s", time_ns=1, data=wide)] * MAX_FRAME_EVENTS, "values"),
        ([Event(type="t", source="s", time_ns=1, data={"v": [0] * 60_000})] * 20, "nested"),
        ([Event(type="t", source="s", time_ns=1, data={"v": "x" * 60_000})] * 2000, "one by one"),
        (_noise(80), "columns are"),
    ]:
        with pytest.raises(LocalProtocolError, match=said):
            encode_events(events)
    with pytest.raises(LocalProtocolError, match="codec"):
        encode_events([event], codec="gzip")
    with pytest.raises(LocalProtocolError, match="codec"):
        encode_events([event], codec="row")


def _noise(count: int) -> list[Event]:
    rng = random.Random(1)
    return [
        Event(type="t", source="s", time_ns=1, data={"v": rng.randbytes(60_000)})
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"data": None},
        {"data": [("v", 1)]},
        {"data": {"v": object()}},
        {"data": {"v": "\ud800"}},
        {"data": {"v": 2**256}},
        {"type": ["t"]},
        {"source": 1},
        {"time_ns": "now"},
        {"time_ns": 2**63},
        {"lane": []},
        {"subject": 5},
        {"extensions": 7},
        {"data": {"v": "x" * 65_536}},
    ],
    ids=lambda bad: repr(bad)[:40],
)
def test_a_bad_event_among_good_ones_is_named(bad: dict[str, object]) -> None:
    good = {"type": "t", "source": "s", "time_ns": 1, "data": {"v": 1}, "subject": "u"}
    events = [Event(**good), Event(**{**good, **bad}), Event(**good)]  # type: ignore[arg-type]
    with pytest.raises(FieldError) as refused:
        encode_events(events)
    assert refused.value.field.partition(".")[0] in {*bad, "event"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x10",
        b"\x20\x00",
        b"\x13\x02\x00\x00",
        b"\x15\x02\x00\x00",
        b"\x16\x02\x00\x00",
        b"\x17\x02\x00\x00",
        b"\x10\x00",
        b"\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x12" + b"\xff" * 12,
        b"\x10\x80\x00",
    ],
    ids=bytes.hex,
)
def test_a_lead_that_is_wrong_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_events(data)


def test_a_declared_size_beyond_the_limit_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match=str(MAX_FRAME_RAW_BYTES)):
        columns_info(b"\x12\x81\x80\x80\x02")


def _mutants(rng: random.Random, seeds: list[bytes], count: int) -> Iterator[bytes]:
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(min(len(data), rng.choice([24, 120, len(data)])))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
                case 1:
                    data[at] ^= 1 << rng.randrange(8)
                case 2 if len(data) > 8:
                    del data[at : at + rng.randrange(1, 4)]
                case _:
                    data[at:at] = rng.randbytes(rng.randrange(1, 4))
        yield bytes(data)
    for _ in range(count // 4):
        yield bytes([rng.choice([0x10, 0x11, 0x12, 0x14, 0x15, 0x16])]) + rng.randbytes(
            rng.randrange(200)
        )


@pytest.mark.parametrize("seed", range(4))
def test_damaged_and_random_bytes_end_in_events_or_a_protocol_error(seed: int) -> None:
    rng = random.Random(seed)
    odd = [
        Event(
            type="x",
            source="s",
            time_ns=at,
            subject="u",
            dedup_key=str(at),
            extensions={"e": at},
            data={"l": [at, {"k": None}], "b": b"x" * at, "m": [None, 1, "s", 2.0, 10**30][at % 5]},
        )
        for at in range(30)
    ]
    seeds = [
        encode_events(events, codec=codec)
        for events in (MIX[:2], MIX[:60], odd)
        for codec in ("none", "none", "lz4", "zstd")
    ]
    seeds += [b"\x14" + pack_event(event) for event in (MIX[0], odd[7])]
    seeds += [encode_events(MIX[:1]), encode_events(MIX[:5])]
    ends = {"events": 0, "refused": 0}
    for data in _mutants(rng, seeds, 1_500):
        try:
            events = decode_events(data)
        except ProtocolError:
            ends["refused"] += 1
        else:
            ends["events"] += 1
            encode_events(events)  # what was read keeps every limit
    assert ends["refused"] > 500
    assert ends["events"] > 10


def _climate(path: Path) -> list[Event]:
    with path.open() as lines:
        return [
            Event(
                type="climate",
                source="room-1",
                time_ns=_time_ns(row["Date"]),
                data={
                    "temperature": float(row["Temperature"]),
                    "humidity": float(row["Humidity"]),
                    "light": float(row["Light"]),
                    "co2": float(row["CO2"]),
                    "humidity_ratio": float(row["HumidityRatio"]),
                    "occupied": row["Occupancy"] == "1",
                },
            )
            for row in csv.DictReader(lines)
        ]


def _tills(path: Path) -> list[Event]:
    with path.open() as lines:
        return [
            Event(
                type="pos.line",
                source="till-1",
                time_ns=_time_ns(row["InvoiceDate"]),
                data={
                    "invoice": row["InvoiceNo"],
                    "sku": row["StockCode"],
                    "description": row["Description"],
                    "country": row["Country"],
                    "quantity": int(row["Quantity"]),
                    "price": float(row["UnitPrice"]),
                    "customer": int(float(row["CustomerID"])) if row["CustomerID"] else None,
                },
            )
            for row in csv.DictReader(lines)
        ]


def _time_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def _bytes_per_event(events: list[Event], size: int) -> float:
    batches = [events[at : at + size] for at in range(0, len(events) - size + 1, size)]
    encoded = [encode_events(batch) for batch in batches]
    for batch, data in zip(batches, encoded, strict=True):
        assert repr(decode_events(data)) == repr(batch)
    return sum(map(len, encoded)) / (size * len(batches))


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the checkout")
def test_real_data_stays_under_its_bytes_per_event() -> None:
    for path in sorted(DATA.glob("occupancy-*.txt")):
        assert _bytes_per_event(_climate(path), 500) <= 9.5, path.name
    for path in sorted(DATA.glob("online-retail-*.csv")):
        assert _bytes_per_event(_tills(path), 500) <= 16.0, path.name


def test_the_store_mix_stays_under_its_bytes_per_event() -> None:
    assert _bytes_per_event(list(store_events(3, 2_000)), 500) <= 9.2
    assert _bytes_per_event(list(store_events(3, 2_000)), 20) <= 30.0
    assert _bytes_per_event(list(store_events(3, 2_000)), 1) <= 86.0
