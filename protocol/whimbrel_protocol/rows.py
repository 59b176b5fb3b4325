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
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.event import LANE_NUMBERS, LANES, Event, event_row, validate_event
from whimbrel_protocol.limits import MAX_EVENT_BYTES, MAX_FRAME_EVENTS

__all__ = ["pack_event", "pack_events", "unpack_event", "unpack_events"]

_NORMAL: Final = LANE_NUMBERS["normal"]


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
    for event in events:
        validate_event(event)
    return dump_value([event_row(event) for event in events])


def unpack_event(data: bytes) -> Event:
    """Give back the event of one row, checked.

    Raises:
        RemoteProtocolError: ``data`` is not one valid row.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise RemoteProtocolError(
            f"event row is {len(data)} bytes: must be at most {MAX_EVENT_BYTES}"
        )
    return _event(load_value(data))


def unpack_events(data: bytes) -> list[Event]:
    """Give back the events of a group of rows, checked, in order.

    Raises:
        RemoteProtocolError: ``data`` is not an array of valid rows, or of more than
            ``MAX_FRAME_EVENTS``.
    """
    rows = load_value(data)
    if type(rows) is not list or len(rows) > MAX_FRAME_EVENTS:
        raise RemoteProtocolError(f"rows must be an array of at most {MAX_FRAME_EVENTS} rows")
    return [_event(row) for row in rows]


def _event(row: Any) -> Event:
    if type(row) is not list or not 4 <= len(row) <= 9:
        raise RemoteProtocolError("event row must be an array of 4 to 9 fields")
    count = len(row)
    lane = row[4] if count > 4 else _NORMAL
    if type(lane) is not int or not 0 <= lane < len(LANES):
        raise RemoteProtocolError(f"lane number is {lane!r:.40}: must be below {len(LANES)}")
    try:
        event = Event(
            type=row[0],
            source=row[1],
            time_ns=row[2],
            data=row[3],
            zone=row[5] if count > 5 else None,
            subject=row[6] if count > 6 else None,
            lane=LANES[lane],
            dedup_key=row[7] if count > 7 else None,
            extensions=row[8] if count > 8 else {},
        )
        validate_event(event)
    except FieldError as exc:
        raise RemoteProtocolError(f"event row breaks a limit: {exc}") from exc
    return event
