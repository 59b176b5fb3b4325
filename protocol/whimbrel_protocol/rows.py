"""Events as compact CBOR rows: the form in which an agent stages what it has accepted.

A row is an array: type, source, time_ns, data, then up to five optional fields whose absent
tail is cut off::

    [type, source, time_ns, data, lane, zone, subject, dedup_key, extensions]

``lane`` is the index in ``LANES`` (absent: 2, normal), the three texts are null when absent,
``extensions`` is a map. A group of rows is an array of them. The size of one row is the size
that ``MAX_EVENT_BYTES`` bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.event import Event, event_row, make_event, validate_event
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import MAX_EVENT_BYTES, MAX_FRAME_EVENTS
from whimbrel_protocol.packing import MIN_GROUP, pack_group

__all__ = ["pack_event", "pack_events", "unpack_event", "unpack_events"]


def pack_event(event: Event) -> bytes:
    """Check one event and give its row.

    Raises:
        FieldError: the event breaks a limit.
    """
    validate_event(event)
    return dump_value(event_row(event))


def pack_events(events: Sequence[Event]) -> bytes:
    """Check a group of events and give their rows as one array, in one library call.

    Raises:
        FieldError: an event breaks a limit (no bytes are given for the others).
    """
    packed = pack_group(events) if len(events) >= MIN_GROUP else None
    if packed is not None and len(packed) <= MAX_EVENT_BYTES:
        return packed
    for event in events:
        validate_event(event)
    return packed or dump_value([event_row(event) for event in events])


def unpack_event(data: bytes) -> Event:
    """Give back the event of one row, checked.

    Raises:
        RemoteProtocolError: ``data`` is not one valid row.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise RemoteProtocolError(
            f"event row is {len(data)} bytes: must be at most {MAX_EVENT_BYTES}"
        )
    return _events([load_value(data)], trusted=False)[0]


def unpack_events(data: bytes, *, trusted: bool = False) -> list[Event]:
    """Give back the events of a group of rows, in order.

    Args:
        data: what ``pack_events`` gave.
        trusted: skip the check of limits, for bytes that are known to come from ``pack_events``
            (a checksum over them held); ``encode_events`` checks the events again anyway.

    Raises:
        RemoteProtocolError: ``data`` is not an array of valid rows, or of more than
            ``MAX_FRAME_EVENTS``.
    """
    rows = load_value(data)
    if type(rows) is not list or len(rows) > MAX_FRAME_EVENTS:
        raise RemoteProtocolError(f"rows must be an array of at most {MAX_FRAME_EVENTS} rows")
    return _events(rows, trusted=trusted)


def _events(rows: list[Any], *, trusted: bool) -> list[Event]:
    events = []
    try:
        for row in rows:
            if type(row) is not list or not 4 <= len(row) <= 9:
                raise RemoteProtocolError("event row must be an array of 4 to 9 fields")
            if len(row) == 4:
                name, source, time_ns, data = row
                event = make_event(name, source, time_ns, data, None, None, "normal", None, {})
            elif len(row) == 6:  # the most common one: a zone, and no more
                name, source, time_ns, data, lane, zone = row
                event = make_event(name, source, time_ns, data, zone, None, _lane(lane), None, {})
            else:
                event = _long_row(*row)
            if not trusted:
                validate_event(event)
            events.append(event)
    except FieldError as exc:
        raise RemoteProtocolError(f"event row breaks a limit: {exc}") from exc
    return events


def _long_row(  # noqa: PLR0917
    name: Any,
    source: Any,
    time_ns: Any,
    data: Any,
    lane: Any,
    zone: Any = None,
    subject: Any = None,
    dedup_key: Any = None,
    extensions: Any = None,
) -> Event:
    if extensions is None:
        extensions = {}
    return make_event(
        name, source, time_ns, data, zone, subject, _lane(lane), dedup_key, extensions
    )


def _lane(number: Any) -> str:
    if type(number) is not int or not 0 <= number < len(LANES):
        raise RemoteProtocolError(f"lane number of an event row must be below {len(LANES)}")
    return LANES[number]
