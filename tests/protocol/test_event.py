from dataclasses import FrozenInstanceError
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest

from whimbrel_protocol import event as event_module
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, event_row, make_event, validate_event
from whimbrel_protocol.limits import MAX_DATA_KEYS, MAX_EVENT_BYTES
from whimbrel_protocol.rows import pack_event


class Colour(IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {"type": "t", "source": "s", "time_ns": 1, "data": {"v": 1}}
    return Event(**{**fields, **changes})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"time_ns": -(2**63)},
    {"time_ns": 2**63 - 1},
    {"type": "é" * 128, "source": "\x00"},
    {"zone": "a_b-9", "lane": "critical", "subject": "x", "dedup_key": "k" * 256},
    {"data": {}},
    {"data": {"a": None, "b": True, "c": 2**256 - 1, "d": -(2**256), "e": Decimal("1E-6144")}},
    {"data": {"v": float("nan"), "w": b"\xff", "x": "\U0001f600"}},
    {"data": {"v": nested(15)}},
    {"data": {str(number): None for number in range(MAX_DATA_KEYS)}},
    {"extensions": {"traceparent": "00-1", "deep": [{"a": 1}]}},
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": ""}, "type"),
    ({"type": None}, "type"),
    ({"type": "é" * 129}, "type"),
    ({"source": "\ud800"}, "source"),
    ({"source": []}, "source"),
    ({"time_ns": 2**63}, "time_ns"),
    ({"time_ns": 10**5_000}, "time_ns"),
    ({"time_ns": True}, "time_ns"),
    ({"time_ns": 1.0}, "time_ns"),
    ({"zone": "all"}, "zone"),
    ({"zone": "Up"}, "zone"),
    ({"zone": ""}, "zone"),
    ({"zone": "a" * 33}, "zone"),
    ({"zone": "a\n"}, "zone"),
    ({"subject": ""}, "subject"),
    ({"dedup_key": "k" * 257}, "dedup_key"),
    ({"lane": "urgent"}, "lane"),
    ({"lane": []}, "lane"),
    ({"data": None}, "data"),
    ({"data": [1]}, "data"),
    ({"data": {1: 1}}, "data"),
    ({"data": {"": 1}}, "data."),
    ({"data": {"k" * 257: 1}}, "data." + "k" * 257),
    ({"data": {"v": {"\ud800": 1}}}, "data.v.'\\ud800'"),
    ({"data": {"v": 2**256}}, "data.v"),
    ({"data": {"v": -(2**256) - 1}}, "data.v"),
    ({"data": {"v": Decimal("NaN")}}, "data.v"),
    ({"data": {"v": Decimal("1E+6145")}}, "data.v"),
    ({"data": {"v": Decimal("1" * 77)}}, "data.v"),
    ({"data": {"v": "\udfff"}}, "data.v"),
    ({"data": {"v": ["a", {"w": "\udfff"}]}}, "data.v[1].w"),
    ({"data": {"v": (1,)}}, "data.v"),
    ({"data": {"v": {1}}}, "data.v"),
    ({"data": {"v": Colour.RED}}, "data.v"),
    ({"data": {"v": Name("x")}}, "data.v"),
    ({"data": {"v": bytearray(b"x")}}, "data.v"),
    ({"data": {"v": nested(16)}}, "data.v" + "[0]" * 15),
    ({"data": {"v": itself()}}, "data.v" + "[0]" * 15),
    ({"data": {str(number): None for number in range(MAX_DATA_KEYS + 1)}}, "data"),
    ({"data": {"v": "x" * MAX_EVENT_BYTES}}, "event"),
    ({"data": {"v": [0] * MAX_EVENT_BYTES}}, "event"),
    ({"extensions": None}, "extensions"),
    ({"extensions": {"v": object()}}, "extensions.v"),
]


@pytest.mark.parametrize("changes", ACCEPTED)
def test_what_keeps_the_limits_is_accepted_every_time(changes: dict[str, Any]) -> None:
    validate_event(event(**changes))
    validate_event(event(**changes))


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_what_breaks_a_limit_is_refused_by_field_every_time(
    changes: dict[str, Any], field: str
) -> None:
    for _ in range(2):
        with pytest.raises(FieldError) as refused:
            validate_event(event(**changes))
        assert refused.value.field == field


def test_the_size_limit_is_exact() -> None:
    head = len(pack_event(event(data={"v": "x" * 60_000}))) - 60_000
    room = MAX_EVENT_BYTES - head
    assert len(pack_event(event(data={"v": "x" * room}))) == MAX_EVENT_BYTES
    with pytest.raises(FieldError, match=f"{MAX_EVENT_BYTES + 1} bytes"):
        validate_event(event(data={"v": "x" * (room + 1)}))


def test_a_list_that_repeats_itself_is_refused_quickly() -> None:
    value: Any = [1] * 1_000
    for _ in range(10):
        value = [value] * 1_000
    with pytest.raises(FieldError):
        validate_event(event(data={"v": value}))


def test_remembered_names_and_keys_stay_bounded() -> None:
    for number in range(2_000):
        validate_event(event(type=f"t{number}", data={f"k{number}": 1}))
    assert len(event_module._known_names) <= 512
    assert len(event_module._known_shapes) <= 512


def test_an_event_cannot_be_changed() -> None:
    made = make_event("t", "s", 1, {"v": 1}, None, None, "normal", None, {})
    assert made == event()
    assert type(made) is Event
    with pytest.raises(FrozenInstanceError):
        made.type = "other"  # type: ignore[misc]


def test_a_row_ends_with_its_last_present_field() -> None:
    assert event_row(event()) == ("t", "s", 1, {"v": 1})
    assert event_row(event(lane="bulk"))[4:] == (3,)
    assert event_row(event(zone="z"))[4:] == (2, "z")
    assert event_row(event(subject="u"))[4:] == (2, None, "u")
    assert event_row(event(dedup_key="d"))[4:] == (2, None, None, "d")
    assert event_row(event(extensions={"e": 1}))[4:] == (2, None, None, None, {"e": 1})
