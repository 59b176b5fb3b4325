"""Series, times, checks, writing and reading, as one body."""

from collections.abc import Callable
from typing import Any

import pytest

from whimbrel_protocol.columns.budget import Budget
from whimbrel_protocol.columns.checks import ShapeColumns, check_columns
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.columns.series import MAPS, Shape, group_events
from whimbrel_protocol.columns.times import read_times, write_times
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.errors import FieldError, LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.event import Event


def event(source: str = "s", **data: Any) -> Event:
    return Event(type="t", source=source, time_ns=0, data=data)


def test_shapes_differ_by_key_order_and_series_by_source() -> None:
    events = [event(a=1, b=2), event(b=2, a=1), event("other", a=1, b=2), event(a=3, b=4)]
    order, series, shapes = group_events(events)
    assert order == [0, 1, 2, 0]
    assert [shape.keys for shape in shapes] == [("a", "b"), ("b", "a")]
    assert [one.shape.number for one in series] == [0, 1, 0]


def test_rare_shapes_fall_together_as_maps_without_losing_key_order() -> None:
    events = [
        Event(type="t", source="s", time_ns=0, data={f"k{at}": at, "z": 1}) for at in range(30)
    ] + [event(a=1)] * 5
    _, _, shapes = group_events(events)
    assert [shape.flags for shape in shapes] == [MAPS, 0]
    raw = write_body(events, 2).raw
    assert repr(read_body(raw)) == repr(events)


def _read_times(times: list[int], places: list[list[int]]) -> tuple[int, list[int]]:
    grouped = [[times[at] for at in part] for part in places]
    out = BodyWriter()
    write_times(out, times, grouped)
    size = sum(map(len, (out.head, out.planes, out.noise)))
    return size, read_times(BodyReader(out.finish()[0]), places, len(times))


def test_steady_periods_of_many_sensors_cost_almost_nothing() -> None:
    minute = 60 * 10**9
    times = [
        10**18 + tick * minute + sensor * 7_654_321 for tick in range(50) for sensor in (0, 3, 4)
    ]
    places = [list(range(sensor, 150, 3)) for sensor in range(3)]
    size, back = _read_times(times, places)
    assert back == times
    assert size < 40


@pytest.mark.parametrize(
    "times",
    [
        [5],
        [5, 5, 5, 5, 5],
        [-(2**63), 2**63 - 1, -(2**63), 2**63 - 1, 0],
        [10**18 + at // 20 * 60 * 10**9 for at in range(200)],
        [10**18 - at * at for at in range(50)],
    ],
    ids=lambda times: str(times[:3]),
)
def test_any_times_come_back(times: list[int]) -> None:
    assert _read_times(times, [list(range(len(times)))])[1] == times


def test_times_beyond_64_bits_come_round_again() -> None:
    head = bytes.fromhex("01 00feffffffffffffffff01 170417")  # by series: first 2^63 - 1, steps 1
    body = BodyReader(bytes([len(head), 0, 0]) + head)
    assert read_times(body, [[0, 1]], 2) == [2**63 - 1, -(2**63)]


def test_columns_that_may_hold_too_big_an_event_ask_for_a_close_look() -> None:
    shape = Shape("t", 0, ("a", "b"), (), size=2)
    budget = Budget(LocalProtocolError)
    long = ShapeColumns((), (), [["x" * 40_000, ""], ["", "x" * 40_000]], [])
    assert not check_columns(shape, long, budget)
    assert check_columns(shape, ShapeColumns((), (), [["x", "y"], [1, None]], []), budget)
    with pytest.raises(FieldError, match=r"data\.b"):
        check_columns(shape, ShapeColumns((), (), [[1, 2], [1, {1}]], []), budget)


def _raw(*edits: Callable[[bytearray], None]) -> bytes:
    """The body of two events ``{"v": 1}`` at sources a and b, with edits to its head."""
    raw = write_body([event("a", v=1), event("b", v=1)], 2).raw
    sizes, head = raw[:3], bytearray(raw[3 : 3 + raw[0]])
    for edit in edits:
        edit(head)
    return bytes([len(head)]) + sizes[1:] + bytes(head) + raw[3 + raw[0] :]


def _put(at: int, value: int) -> Callable[[bytearray], None]:
    return lambda head: head.__setitem__(at, value)


def test_the_head_is_as_specified() -> None:
    assert read_body(_raw()) == [event("a", v=1), event("b", v=1)]
    assert _raw().hex() == (
        "130400"  # sizes of head, text and planes
        "0202"  # lane normal; 2 events
        "010200"  # 1 shape: type is a new name of 1 byte, no flags,
        "0102"  # 1 key: a new name of 1 byte
        "02000200000200"  # 2 series: shape 0, a new source of 1 byte, no zone; the same again
        "16"  # order of series: 1 bit each
        "0007"  # times as accepted: constant 0
        "0217"  # column v: INT, constant 1
        "74766162"  # names t v a b
        "40"  # order of series: 0, 1
    )


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 4),  # lane
        (0, 255),
        (1, 0),  # no events, and bytes left over
        (1, 1),  # fewer events than series
        (1, 3),
        (2, 0),  # no shape
        (2, 3),  # more shapes than events
        (3, 0),  # no type
        (3, 1),  # a name that is not known yet
        (3, 4),  # a longer type
        (4, 0x10),  # unknown flag
        (4, 8),  # maps, so the rest is shifted
        (5, 2),
        (6, 0),  # no key
        (6, 3),  # key outside the names
        (7, 0),  # no series
        (7, 1),
        (8, 1),  # shape outside
        (9, 9),  # source outside
        (9, 0),
        (10, 1),  # the type as zone
        (10, 12),  # more than the text
        (10, 9),
        (14, 0x36),  # more bits for the order
        (14, 1),  # form of the order
        (15, 2),  # order of times
    ],
)
def test_a_head_with_one_wrong_byte_is_refused_or_another_event(at: int, value: int) -> None:
    try:
        events = read_body(_raw(_put(at, value)))
    except RemoteProtocolError:
        return
    assert events != read_body(_raw())
