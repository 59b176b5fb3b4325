"""The event: one fact from one source.

What this is: the value that producers hand in and consumers get back, and the exact check of
its limits. What it is not: a parser of JSON or CloudEvents (the intakes do that) or a wire
form (see ``rows`` and ``batch``). The rule it keeps: an event that passes ``validate_event``
can be staged, sealed, carried and given back exactly as it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.limits import (
    MAX_DATA_KEYS,
    MAX_DEDUP_KEY_BYTES,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
)
from whimbrel_protocol.values import SHORT_TEXT, check_key, check_text, check_value, map_bound

__all__ = ["LANES", "LANE_NUMBERS", "Event", "event_row", "validate_event"]

LANES: Final = ("critical", "high", "normal", "bulk")
"""Urgency classes, most urgent first; the index is the lane's number on the wire."""

LANE_NUMBERS: Final = {lane: number for number, lane in enumerate(LANES)}

_ZONE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_INT64: Final = 2**63
_EVENT_OVERHEAD_BYTES: Final = 32
"""More than array head, time, lane and the heads of the texts of a packed row can take."""

_KNOWN_MAX: Final = 512
_known_names: set[tuple[str, str, str | None]] = set()
_known_shapes: set[tuple[str, ...]] = set()


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


def validate_event(event: Event) -> None:
    """Check every limit of an event.

    The common case (known names and keys, flat scalars) takes about a microsecond: names and
    key sets that passed before are remembered (bounded), scalars are checked in line.

    Raises:
        FieldError: names the field, its value and the rule it breaks.
    """
    names = (event.type, event.source, event.zone)
    try:
        known = names in _known_names
    except TypeError:
        known = False
    if not known:
        _check_names(event)
    time_ns = event.time_ns
    if type(time_ns) is not int or not -_INT64 <= time_ns < _INT64:
        raise FieldError("time_ns", time_ns, "must be an integer of 64 bits, nanoseconds UTC")
    if event.lane not in LANES:
        raise FieldError("lane", event.lane, f"must be one of {', '.join(LANES)}")
    bound = _EVENT_OVERHEAD_BYTES + 4 * (len(event.type) + len(event.source)) + 32
    if event.subject is not None:
        bound += 3 + check_text("subject", event.subject, MAX_KEY_BYTES)
    if event.dedup_key is not None:
        bound += 3 + check_text("dedup_key", event.dedup_key, MAX_DEDUP_KEY_BYTES)
    bound += _check_map("data", event.data)
    if event.extensions != {} or type(event.extensions) is not dict:
        bound += _check_map("extensions", event.extensions)
    if bound > MAX_EVENT_BYTES:
        _check_size(event)


def _check_names(event: Event) -> None:
    check_text("type", event.type, MAX_KEY_BYTES)
    check_text("source", event.source, MAX_KEY_BYTES)
    zone = event.zone
    if zone is not None and (
        type(zone) is not str or _ZONE.fullmatch(zone) is None or zone == "all"
    ):
        raise FieldError("zone", zone, "must match [a-z0-9][a-z0-9_-]{0,31} and not be 'all'")
    if len(_known_names) >= _KNOWN_MAX:
        _known_names.clear()
    _known_names.add((event.type, event.source, zone))


def _check_map(path: str, data: dict[str, Any]) -> int:
    """Check ``data`` or ``extensions``; give an upper bound of its packed size in bytes."""
    if type(data) is not dict:
        raise FieldError(path, data, "must be a map with text keys")
    shape = tuple(data)
    try:
        known = shape in _known_shapes
    except TypeError:
        known = False
    if not known:
        _check_shape(path, shape)
    bound = map_bound(shape)
    for key, value in data.items():
        kind = type(value)
        if kind is float or kind is bool or value is None:
            bound += 9
        elif kind is str and len(value) < SHORT_TEXT and value.isascii():
            bound += 3 + len(value)
        elif kind is int and -_INT64 <= value < _INT64:
            bound += 9
        else:
            bound += check_value(f"{path}.{key}" if key.isprintable() else f"{path}.{key!r}", value)
    return bound


def _check_shape(path: str, shape: tuple[str, ...]) -> None:
    if len(shape) > MAX_DATA_KEYS:
        raise FieldError(path, f"{len(shape)} keys", f"must have at most {MAX_DATA_KEYS} keys")
    for key in shape:
        check_key(path, key)
    if len(shape) > 64:
        return
    if len(_known_shapes) >= _KNOWN_MAX:
        _known_shapes.clear()
    _known_shapes.add(shape)


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
