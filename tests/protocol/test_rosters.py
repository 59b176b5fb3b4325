"""The series that a dictionary knows: as bytes, and frames that say how many events each has."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage.columns import read_damaged
from whimbrel_protocol.batch import columns_info, decode_events, encode_events
from whimbrel_protocol.columns.integers import write_integers
from whimbrel_protocol.columns.names import NameWriter
from whimbrel_protocol.columns.ordering import AS_GIVEN, BY_TIME, read_order, write_order
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.rollcall import BY_NAME, BY_ROSTER
from whimbrel_protocol.columns.roster import (
    KnownSeries,
    KnownShape,
    Roster,
    put_series,
    put_shapes,
    series_of,
)
from whimbrel_protocol.columns.series import MAPS, Series, Shape
from whimbrel_protocol.columns.times import (
    BY_SHAPE,
    TOGETHER,
    read_series_times,
    write_series_times,
)
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.dictionaries import (
    Dictionary,
    join_content,
    pack_dictionary,
    unpack_dictionary,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_ROSTER
from whimbrel_protocol.shared import Shared, read_shared, write_shared

S = 10**9


def readings(count: int, *, sensors: int = 6, seed: int = 1, new: int = 0) -> list[Event]:
    """Sensors that report each minute, and tills that sell at random, in the order of their times."""
    chosen = random.Random(seed)
    events = []
    for number in range(count):
        at = chosen.randrange(sensors)
        time_ns = (60 * (number // sensors) + at) * S
        events.append(
            Event(
                type="climate" if at % 3 else "sale",
                source=f"source-{at}" if number >= new else f"new-{number}",
                zone="front" if at % 2 else None,
                time_ns=time_ns + (chosen.randrange(5_000) * 10**6 if at % 3 == 0 else 0),
                data={"value": chosen.randrange(100)} if at % 3 else {"total": number / 4, "n": at},
            )
        )
    return sorted(events, key=lambda event: event.time_ns)


def roster_of(events: Sequence[Event]) -> Roster:
    return Roster(tuple(sorted({series_of(event) for event in events}, key=repr)))


KNOWN = roster_of(readings(200))
SHARED = Shared(roster=KNOWN)
DICTIONARY = Dictionary(join_content(b"", SHARED))


def head_of(events: Sequence[Event], shared: Shared = SHARED) -> int:
    """How the head of a frame says who is in it."""
    raw = write_body(events, 2, shared=shared).raw
    assert repr(read_body(raw, shared)) == repr(list(events))
    head = BodyReader(raw).head
    head.byte()
    head.varint(10_000, "events")
    return head.byte()


# ------------------------------------------------------------------ frames


@pytest.mark.parametrize("count", [1, 2, 5, 60, 400])
def test_series_that_a_dictionary_knows_are_not_named(count: int) -> None:
    events = readings(count)
    assert head_of(events) == BY_ROSTER
    body = write_body(events, 2, shared=SHARED)
    assert body.following
    assert b"source-" not in body.raw
    columns = encode_events(events, dictionary=DICTIONARY)
    assert decode_events(columns, {DICTIONARY.name: DICTIONARY}) == events
    if count > 1:
        assert columns_info(columns)[0] == "zstd-tables"
        assert len(columns) < len(encode_events(events))


@pytest.mark.parametrize(
    ("new", "how"), [(1, BY_ROSTER), (3, BY_ROSTER), (5, BY_ROSTER), (30, BY_NAME)]
)
def test_new_series_are_named_beside_them_or_all_are(new: int, how: int) -> None:
    assert head_of(readings(60, new=new)) == how


def test_a_new_shape_and_a_new_source_of_a_known_one() -> None:
    events = readings(30)
    strange = Event(type="door", source="door-1", time_ns=0, data={"open": True})
    again = Event(type="climate", source="elsewhere", time_ns=1, data={"value": 3})
    assert head_of([strange, again, *events]) == BY_ROSTER
    assert head_of([*events, again, strange, again]) == BY_ROSTER


def test_a_known_shape_of_which_only_new_series_have_events() -> None:
    sales = [event for event in readings(60) if event.type == "sale"]
    elsewhere = Event(type="climate", source="elsewhere", time_ns=1, data={"value": 3})
    assert head_of([*sales, elsewhere]) == BY_ROSTER


def test_few_of_many_series_are_listed() -> None:
    many = roster_of(readings(4_000, sensors=400))
    assert len(many.series) > 300
    few = [event for event in readings(4_000, sensors=400) if event.source.endswith("7")][:20]
    shared = Shared(roster=many)
    assert head_of(few, shared) == BY_ROSTER
    assert len(write_body(few, 2, shared=shared).raw) < 2 * len(few) * 8


def test_rare_shapes_that_are_told_as_maps_are_new() -> None:
    odd = [
        Event(type="odd", source="s", time_ns=n * S, data={f"k{n}": n, f"l{n}": 1})
        for n in range(40)
    ]
    assert head_of(odd) == BY_NAME
    both = [*odd, *readings(400)]
    assert head_of(both, Shared(roster=roster_of(readings(400)))) == BY_ROSTER


def test_subjects_keys_and_extensions_make_series() -> None:
    events = [
        Event(
            type="t", source="s", time_ns=n, data={"a": n},
            subject="x" if n & 1 else None, dedup_key=f"d{n}" if n & 2 else None,
            extensions={"e": n} if n & 4 else {},
        )
        for n in range(32)
    ]  # fmt: skip
    known = roster_of(events)
    assert len(known.series) == 8
    assert head_of(events, Shared(roster=known)) == BY_ROSTER


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_frames_are_refused_or_are_other_events(data: st.DataObject) -> None:
    new = data.draw(st.integers(0, 2))
    read_damaged(data, write_body(readings(24, new=new), 2, shared=SHARED).raw, SHARED)


def body_of(*head: int | list[int]) -> bytes:
    """A body whose head has these bytes and streams."""
    out = BodyWriter()
    for piece in head:
        if isinstance(piece, list):
            write_integers(out, piece)
        else:
            out.head.append(piece)
    return out.finish()[0]


def called(*head: int | list[int]) -> bytes:
    """A body of two events whose head goes on so."""
    return body_of(2, 2, BY_ROSTER, *head)


TWO = Shared(roster=Roster(KNOWN.series[:1]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (called(2), "series of the roster is 2"),
        (called(1, [0]), "should have events"),
        (called(1, [-1], 0, 0), "should have events"),
        (called(1, [1], 0, 0), "the events of the series are not 2"),
        (called(1, [3], 0, 0), "the events of the series are not 2"),
        (called(0, 0, 0), "the events of the series are not 2"),
        (called(1, [2], 1, 2, 0, 0, 0), "columns end early"),
        (called(1, [2], 0, 1, 9), "shape number is 9"),
    ],
)
def test_a_head_that_does_not_add_up_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        read_body(body, TWO)


MANY = Shared(roster=roster_of(readings(4_000, sensors=400)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (called(2, [5, 5]), "not ascending"),
        (called(2, [5, 1_000]), "not ascending"),
        (called(2, [1, 2], [1, 0]), "should have events"),
        (called(2, [1, 2], [2, 1], 0, 0), "the events of the series are not 2"),
    ],
)
def test_a_list_of_series_that_does_not_add_up_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        read_body(body, MANY)


def test_a_shape_that_is_named_and_has_no_event_is_refused() -> None:
    out = BodyWriter()
    out.head += bytes([2, 2, BY_ROSTER, 1])
    write_integers(out, [2])
    put_shapes(out, NameWriter(out), [Shape("door", 0, (), ())])
    out.head += bytes(1)
    with pytest.raises(RemoteProtocolError, match="a shape is named but has no event"):
        read_body(out.finish()[0], TWO)


def test_another_kind_of_head_is_refused() -> None:
    raw = bytearray(write_body(readings(5), 2, shared=SHARED).raw)
    raw[raw.index(bytes([2, 5, BY_ROSTER])) + 2] = 2
    with pytest.raises(RemoteProtocolError, match="kind 2"):
        read_body(bytes(raw), SHARED)


# ------------------------------------------------------------------ order and times


def order_of(times: Sequence[Sequence[int]], order: Sequence[int]) -> tuple[int, int]:
    """How an order is written, and in how many bytes of head; it must come back."""
    out = BodyWriter()
    flat = [time for part in times for time in part]
    write_order(out, order, [len(part) for part in times], flat)
    body = BodyReader(out.finish()[0])
    places = read_order(body, [len(part) for part in times], flat)
    body.close()
    back = [0] * len(order)
    for number, part in enumerate(places):
        assert all(a < b for a, b in pairwise(part))
        for place in part:
            back[place] = number
    assert back == list(order)
    return out.head[0], len(out.head)


def test_times_tell_the_order() -> None:
    assert order_of([[1, 5, 9], [2, 3], [7]], [0, 1, 1, 0, 2, 0]) == (BY_TIME, 2)


def test_at_one_time_the_earlier_series_comes_first_or_neighbours_change_places() -> None:
    ties = [list(range(20))] * 3
    assert order_of(ties, [0, 1, 2] * 20) == (BY_TIME, 2)
    assert order_of(ties, [*[0, 1, 2] * 10, 1, 0, 2, *[0, 1, 2] * 9])[0] == BY_TIME
    assert order_of(ties, [*[0, 1, 2] * 10, 1, 2, 0, *[0, 1, 2] * 9])[0] == BY_TIME
    assert order_of(ties, [*[0, 1, 2] * 10, 2, 0, 1, *[0, 1, 2] * 9])[0] == AS_GIVEN
    assert order_of(ties, [2, 1, 0] * 20)[0] == AS_GIVEN


def test_a_clock_that_was_set_back_leaves_the_order_as_given() -> None:
    assert order_of([[100, 101, 3, 4], [102, 5]], [0, 0, 1, 0, 0, 1])[0] == AS_GIVEN
    assert order_of([[5, 4, 3, 2, 1], [9]], [0, 0, 0, 0, 0, 1])[0] == AS_GIVEN


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 12)), min_size=2, max_size=40))
def test_any_order_comes_back(events: list[tuple[int, int]]) -> None:
    numbers = sorted({number for number, _ in events})
    times = [[time for number, time in events if number == one] for one in numbers]
    order_of(times, [numbers.index(number) for number, _ in events])


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ([2], "order is 2"),
        ([BY_TIME, 3], "swaps is 3"),
        ([BY_TIME, 1, [2]], "not ascending"),
        ([BY_TIME, 2, [1, 1]], "not ascending"),
        ([AS_GIVEN, [2, 2, 2]], "outside 2 series"),
        ([AS_GIVEN, [0, 0, 0]], "other numbers of events"),
    ],
)
def test_an_order_that_cannot_be_is_refused(head: list[int | list[int]], said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        read_order(BodyReader(body_of(*head)), [2, 1], [1, 2, 3])


def times_of(by_series: Sequence[Sequence[int]], shapes: Sequence[int]) -> int | None:
    """How differences are written; they must come back. None: there are none."""
    out = BodyWriter()
    write_series_times(out, by_series, shapes)
    raw = out.finish()[0]
    body = BodyReader(raw)
    sizes = [len(times) for times in by_series]
    assert read_series_times(body, sizes, shapes) == [t for times in by_series for t in times]
    body.close()
    if len(by_series) == 1 or max(sizes) == 1:
        return None
    firsts = BodyWriter()
    write_series_times(firsts, [times[:1] for times in by_series], shapes)
    return out.head[len(firsts.head)]


def test_times_of_kinds_that_differ_have_streams_of_their_own() -> None:
    chosen = random.Random(1)
    steady = [[start + 60 * S * n for n in range(100)] for start in (1, 7)]
    erratic = [sorted(chosen.randrange(10**13) for _ in range(100)) for _ in range(2)]
    assert times_of([*steady, *erratic], [0, 0, 1, 1]) == BY_SHAPE
    assert times_of(steady, [0, 1]) == TOGETHER
    assert times_of([[5], [6]], [0, 1]) is None
    assert times_of([[5, 9, 10]], [0]) is None


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63)])
def test_times_of_the_widest_range_come_back(extreme: int) -> None:
    assert times_of([[0, extreme, -1, extreme], [-extreme - 1, 5]], [0, 1]) is not None


def test_differences_of_another_kind_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="differences of times are 2"):
        read_series_times(BodyReader(body_of([1, 2], 2)), [2, 2], [0, 1])


# ------------------------------------------------------------------ as bytes


def test_a_roster_travels() -> None:
    packed = pack_dictionary(DICTIONARY.content)
    assert unpack_dictionary(packed).shared == SHARED
    assert read_shared(write_shared(SHARED)).roster == KNOWN


@pytest.mark.parametrize("keys", [1, 6, 80])
def test_memory_for_a_roster_is_stated(keys: int) -> None:
    series = [
        KnownSeries(KnownShape(f"t{n}", 0, tuple(f"k{k}" for k in range(keys)), ()), f"s{n}", None)
        for n in range(MAX_ROSTER)
    ]
    content = join_content(b"", Shared(roster=Roster(tuple(series))))
    tracemalloc.start()
    dictionary = Dictionary(content)
    taken_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken_bytes <= dictionary.memory_bytes


def roster_bytes(change: Callable[[list[Shape], list[Series]], None], count: int = 0) -> bytes:
    """A dictionary with a roster of two series of one shape, after a change."""
    shapes = [Shape("climate", 0, ("value",), (), 0)]
    series = [Series(shapes[0], f"room-{number}", None, number) for number in range(2)]
    change(shapes, series)
    out = BodyWriter()
    names = NameWriter(out)
    put_varint(out.head, 0)
    put_varint(out.head, count)
    put_shapes(out, names, shapes)
    put_series(out, names, series)
    return out.finish()[0]


def as_it_is(_shapes: list[Shape], _series: list[Series]) -> None:
    """Change nothing."""


def without_series(_: list[Shape], series: list[Series]) -> None:
    series.clear()


def one_twice(_: list[Shape], series: list[Series]) -> None:
    series.append(series[0])


def a_shape_of_none(shapes: list[Shape], _: list[Series]) -> None:
    shapes.append(Shape("door", 0, (), (), 1))


def of_maps(shapes: list[Shape], _: list[Series]) -> None:
    shapes[0].flags |= MAPS


def too_many(shapes: list[Shape], series: list[Series]) -> None:
    series += [Series(shapes[0], f"more-{n}", None, n) for n in range(MAX_ROSTER - 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_series, "names no series"),
        (one_twice, "or one twice"),
        (a_shape_of_none, "shapes that no series is of"),
        (of_maps, "shape of maps"),
        (too_many, "series count is 513"),
    ],
)
def test_a_roster_that_cannot_be_is_refused(
    change: Callable[[list[Shape], list[Series]], None], said: str
) -> None:
    assert len(read_shared(roster_bytes(as_it_is)).roster.series) == 2
    with pytest.raises(RemoteProtocolError, match=said):
        read_shared(roster_bytes(change))


def test_a_frame_of_a_dictionary_with_a_roster_needs_it_at_hand() -> None:
    raw = write_body(readings(20), 2, shared=SHARED).raw
    with pytest.raises(RemoteProtocolError):
        read_body(raw)
    other = Roster((*KNOWN.series, KnownSeries(KnownShape("x", 0, ("a",), ()), "y", None)))
    with pytest.raises(RemoteProtocolError):
        read_body(raw, Shared(roster=other))
