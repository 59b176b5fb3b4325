"""The event: one fact from one source.

What this is: the value that producers hand in and consumers get back, and the exact check of
its limits. What it is not: a parser of JSON or CloudEvents (the intakes do that) or a wire
form (see ``rows`` and ``batch``). The rule it keeps: an event that passes ``validate_event``
can be staged, sealed, carried and given back exactly as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.lanes import LANE_NUMBERS, LANES
from whimbrel_protocol.limits import (
    MAX_DATA_KEYS,
    MAX_DEDUP_KEY_BYTES,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
)
from whimbrel_protocol.names import is_name
from whimbrel_protocol.values import SHORT_TEXT, check_key, check_text, check_value, join_path

__all__ = [
    "SUMMARY_COUNT",
    "SUMMARY_FROM",
    "Event",
    "event_row",
    "make_event",
    "validate_event",
]

SUMMARY_COUNT: Final = "summarycount"
SUMMARY_FROM: Final = "summaryfrom"
"""Extensions of an event that a device put in the place of many: how many, the time of the first, ns."""

_INT64: Final = 2**63
_EVENT_OVERHEAD_BYTES: Final = 64
"""More than array head, time, lane, zone and the heads of the texts of a row can take."""

_KEY_AND_SCALAR_BYTES: Final = 12
"""Heads of a key and a short text, or of a key and a number."""

_KNOWN_MAX: Final = 512
_KNOWN_KEYS: Final = 64
"""Bounds of what is remembered: so many names and key sets, key sets of so many keys."""

_known_names: dict[tuple[str, str, str | None], int] = {}
_known_shapes: dict[tuple[str, ...], int] = {}
"""What passed before, with an upper bound of its packed bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact; maps onto CloudEvents 1.0.

    Attributes:
        type: what kind of fact, such as ``pos.line``; 1 to 256 UTF-8 bytes.
        source: the sensor, till or program it came from; 1 to 256 UTF-8 bytes.
        time_ns: when it happened by the device's clock, nanoseconds since 1970 UTC, signed
            64 bit.
        data: the fact; text keys, values as ``values`` lists them.
        zone: part of the store it belongs to, ``[a-z0-9][a-z0-9_-]{0,31}``, not ``all``.
        subject: what the fact is about, 1 to 256 UTF-8 bytes.
        lane: urgency class, one of ``LANES``.
        dedup_key: the producer's own idempotency key, 1 to 256 UTF-8 bytes.
        extensions: further CloudEvents attributes; same value types as ``data``.
    """

    type: str
    source: str
    time_ns: int
    data: dict[str, Any] = field(default_factory=dict)
    zone: str | None = None
    subject: str | None = None
    lane: str = "normal"
    dedup_key: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


class _Draft:
    """An event under construction: the same slots, but not frozen."""

    __slots__ = Event.__slots__
    type: str
    source: str
    time_ns: int
    data: dict[str, Any]
    zone: str | None
    subject: str | None
    lane: str
    dedup_key: str | None
    extensions: dict[str, Any]


def make_event(  # noqa: PLR0917 - keywords cost time here
    type: Any,  # noqa: A002
    source: Any,
    time_ns: Any,
    data: Any,
    zone: Any,
    subject: Any,
    lane: Any,
    dedup_key: Any,
    extensions: Any,
) -> Event:
    """Make an event from all its fields in order, for readers that make thousands.

    A frozen class sets each field through a slow path; a draft takes them directly and then
    becomes an event, which is allowed because both have the same slots. Four times as fast.
    """
    draft = _Draft()
    draft.type = type
    draft.source = source
    draft.time_ns = time_ns
    draft.data = data
    draft.zone = zone
    draft.subject = subject
    draft.lane = lane
    draft.dedup_key = dedup_key
    draft.extensions = extensions
    made: Any = draft
    made.__class__ = Event
    event: Event = made
    return event


def validate_event(event: Event) -> None:  # noqa: C901, PLR0912 - one call an event, no more
    """Check every limit of an event.

    The common case (known names and keys, flat scalars) takes about a microsecond: names and
    key sets that passed before are remembered (bounded), scalars are checked in line.

    Raises:
        FieldError: names the field, its value and the rule it breaks.
    """
    try:
        bound = _known_names.get((event.type, event.source, event.zone), 0)
    except TypeError:  # not even hashable: the check says which
        bound = 0
    if not bound:
        bound = _check_names(event)
    time_ns = event.time_ns
    if type(time_ns) is not int or not -_INT64 <= time_ns < _INT64:
        raise FieldError("time_ns", time_ns, "must be an integer of 64 bits, nanoseconds UTC")
    lane = event.lane
    if lane != "normal" and lane not in LANES:
        raise FieldError("lane", lane, f"must be one of {', '.join(LANES)}")
    if event.subject is not None:
        bound += 3 + check_text("subject", event.subject, MAX_KEY_BYTES)
    if event.dedup_key is not None:
        bound += 3 + check_text("dedup_key", event.dedup_key, MAX_DEDUP_KEY_BYTES)
    data = event.data
    if type(data) is not dict:
        raise FieldError("data", data, "must be a map with text keys")
    bound += _known_shapes.get(tuple(data), 0) or _check_keys("data", tuple(data))
    for value in data.values():
        kind = type(value)
        if kind is float or kind is bool or value is None:
            continue
        if kind is str:
            if value.isascii() and len(value) < SHORT_TEXT:
                bound += len(value)
                continue
        elif kind is int and -_INT64 <= value < _INT64:
            continue
        bound += _check_values("data", data)
        break
    extensions = event.extensions
    if extensions or type(extensions) is not dict:
        if type(extensions) is not dict:
            raise FieldError("extensions", extensions, "must be a map with text keys")
        bound += _check_keys("extensions", tuple(extensions))
        bound += _check_values("extensions", extensions)
    if bound > MAX_EVENT_BYTES:
        _check_size(event)


def _check_names(event: Event) -> int:
    bound = _EVENT_OVERHEAD_BYTES
    bound += check_text("type", event.type, MAX_KEY_BYTES)
    bound += check_text("source", event.source, MAX_KEY_BYTES)
    zone = event.zone
    if zone is not None and (type(zone) is not str or not is_name(zone)):
        raise FieldError("zone", zone, "must match [a-z0-9][a-z0-9_-]{0,31} and not be 'all'")
    if len(_known_names) >= _KNOWN_MAX:
        _known_names.clear()
    _known_names[(event.type, event.source, zone)] = bound
    return bound


def _check_keys(path: str, keys: tuple[str, ...]) -> int:
    """Check the keys of a map; give an upper bound of the bytes of keys and plain scalars."""
    if len(keys) > MAX_DATA_KEYS:
        raise FieldError(path, f"{len(keys)} keys", f"must have at most {MAX_DATA_KEYS} keys")
    bound = 3
    for key in keys:
        bound += _KEY_AND_SCALAR_BYTES + check_key(path, key)
    if len(keys) <= _KNOWN_KEYS:
        if len(_known_shapes) >= _KNOWN_MAX:
            _known_shapes.clear()
        _known_shapes[keys] = bound
    return bound


def _check_values(path: str, values: dict[str, Any]) -> int:
    return sum(check_value(join_path(path, key), value) for key, value in values.items())


def _check_size(event: Event) -> None:
    size_bytes = len(dump_value(event_row(event)))
    if size_bytes > MAX_EVENT_BYTES:
        raise FieldError(
            "event", f"{size_bytes} bytes", f"must pack into at most {MAX_EVENT_BYTES} bytes"
        )


def event_row(event: Event) -> tuple[Any, ...]:
    """Give the event's fields as the array that ``rows`` packs, its absent tail cut off."""
    head = (event.type, event.source, event.time_ns, event.data)
    zone, subject, dedup_key = event.zone, event.subject, event.dedup_key
    lane = event.lane
    if event.extensions:
        tail = (LANE_NUMBERS[lane], zone, subject, dedup_key, event.extensions)
        return (*head, *tail)
    if dedup_key is not None:
        return (*head, LANE_NUMBERS[lane], zone, subject, dedup_key)
    if subject is not None:
        return (*head, LANE_NUMBERS[lane], zone, subject)
    if zone is not None:
        return (*head, LANE_NUMBERS[lane], zone)
    return head if lane == "normal" else (*head, LANE_NUMBERS[lane])
