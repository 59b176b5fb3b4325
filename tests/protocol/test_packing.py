"""The quick way packs what the careful way packs, and nothing that the careful way refuses."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whimbrel_protocol import packing
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, event_row, make_event, validate_event
from whimbrel_protocol.limits import MAX_DATA_KEYS, MAX_EVENT_BYTES
from whimbrel_protocol.packing import MIN_GROUP, pack_group
from whimbrel_protocol.rows import pack_events


class Colour(IntEnum):
    RED = 1


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {"type": "t", "source": "s", "time_ns": 1, "data": {"v": 1}}
    return Event(**{**fields, **changes})


def one_by_one(events: Sequence[Event]) -> bytes | str:
    """What the checks of single events say of a group: its bytes, or the first error."""
    try:
        for one in events:
            validate_event(one)
    except FieldError as error:
        return str(error)
    return dump_value([event_row(one) for one in events])


def as_group(events: Sequence[Event]) -> bytes | str:
    try:
        return pack_events(events)
    except FieldError as error:
        return str(error)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = st.integers() | st.sampled_from(
    [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**256 - 1, 2**256, -(2**256), -(2**256) - 1]
)


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give something bad seldom enough that groups of many fields come out good as well."""
    return st.integers(0, 60).flatmap(lambda chance: bad if chance == 0 else good)


SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | mostly(st.integers(), NUMBERS)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=9)
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(Decimal("1.50"), Decimal("-0"), Decimal("NaN"), Decimal("1E+6145"), Decimal("1" * 77)),
        *("\ud800", (1,), {1}, bytearray(b"x"), Colour.RED, object, 1j),
        *("x" * MAX_EVENT_BYTES, nested(14), nested(15), nested(16), {"a": [Decimal(1)]}, {1: 2}),
    ]
)
KEYS: st.SearchStrategy[Any] = st.sampled_from(
    ["a", "b", "temperature", "é" * 128]
) | st.sampled_from(["", "k" * 257, "é" * 129, "\ud800", 1, None, b"a"])
MAPS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["a", "b", "temperature"]), SCALARS, max_size=4
)


TEXTS = st.none() | st.sampled_from(["x", "A-17", "é" * 128])
BAD_TEXTS = st.sampled_from(["", "é" * 129, "\ud800", 7, b"x", []])
EVENTS = st.builds(
    make_event,
    mostly(st.sampled_from(["t", "pos.line"]), BAD_TEXTS | st.none()),
    mostly(st.sampled_from(["s", "till-1"]), BAD_TEXTS | st.none()),
    mostly(
        st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**63, -(2**63) - 1, True, 1.0, "1"])
    ),
    mostly(
        mostly(MAPS, st.dictionaries(st.sampled_from(["a", "b"]), ODD, max_size=1)),
        st.dictionaries(KEYS, SCALARS) | st.sampled_from([None, [1], "x"]),
    ),
    mostly(st.none() | st.sampled_from(["front", "a_b-9"]), st.sampled_from(["all", "Up", "", 7])),
    mostly(st.none(), TEXTS | BAD_TEXTS),
    mostly(st.just("normal"), st.sampled_from(["critical", "bulk", "urgent", [], None])),
    mostly(st.none(), TEXTS | BAD_TEXTS),
    mostly(st.just({}), MAPS | st.dictionaries(KEYS, ODD) | st.sampled_from([None, [], ""])),
)


@given(st.lists(EVENTS, max_size=12), st.booleans())
@example([event()] * MIN_GROUP, False)
@example([event(zone="z")] * MIN_GROUP, False)
@example([event(zone="z"), event(), event(extensions={"e": Decimal("-0.0")})] * 3, True)
@example([event(data={"v": "x" * 20_000})] * MIN_GROUP, False)
@example([event(data={"v": packing._BORDER}), event(data={"v": [packing._BORDER]})] * 3, False)
@example([event(source=f"s{number}") for number in range(600)], True)
def test_a_group_is_packed_or_refused_as_its_events_are_one_by_one(
    events: list[Event], forgetful: bool
) -> None:
    if forgetful:
        packing._known_heads.clear()
        packing._keys.known = frozenset()
    assert as_group(events) == one_by_one(events)
    quick = pack_group(events)
    if quick is not None and len(quick) <= MAX_EVENT_BYTES:
        assert quick == one_by_one(events)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"zone": "z"},
        {"lane": "bulk"},
        {"subject": "u", "dedup_key": "d"},
        {"extensions": {"trace": "00-1"}},
        {"data": {"a": 2**70, "b": [1, {"c": Decimal("1.5")}], "d": b"x"}},
    ],
)
def test_good_groups_need_no_second_look(changes: dict[str, Any]) -> None:
    events = [event(**changes)] * MIN_GROUP
    assert pack_group(events) == one_by_one(events)


@pytest.mark.parametrize("count", [6, 23, 24, 255, 256, 700])
def test_arrays_of_any_size_have_the_head_that_the_library_writes(count: int) -> None:
    events = [event(zone=f"z{number % 3}") for number in range(count)]
    assert pack_group(events) == one_by_one(events)


def test_too_many_keys_are_seen_in_new_and_in_known_ones() -> None:
    keys = [str(number) for number in range(MAX_DATA_KEYS + 1)]
    for start in range(0, len(keys), 100):
        pack_group([event(data=dict.fromkeys(keys[start : start + 100]))] * MIN_GROUP)
    assert pack_group([event(data=dict.fromkeys(keys))] * MIN_GROUP) is None
    assert "at most 1024 keys" in str(as_group([event(data=dict.fromkeys(keys))] * MIN_GROUP))


def test_what_is_remembered_stays_bounded() -> None:
    for number in range(2_000):
        pack_group([event(type=f"t{number}", data={f"k{number}": 1})] * MIN_GROUP)
        pack_group([event(source=f"s{number}-{more}") for more in range(MIN_GROUP)])
    assert 0 < len(packing._known_heads) <= 512
    assert 0 < len(packing._keys.known) <= 512
