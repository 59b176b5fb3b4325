"""One decoded JSON or CBOR object to one event: Whimbrel's own form.

The form has the fields of ``Event`` and nothing else::

    {"type": "pos.line", "source": "till-3", "data": {...},
     "time": "2026-11-22T09:30:00Z"  or  "time_ns": 1795339800000000000,
     "zone": "front", "subject": "A-17", "lane": "normal", "dedup_key": "...",
     "extensions": {...}}

``type`` and ``source`` are required. Without a time the event gets the wall clock of the moment
it is read, as every event of one request does. A field that nobody knows is refused, not dropped:
a misspelt ``subjct`` would otherwise be lost silently. What is not checked here are the limits:
``validate_event`` does that at acceptance, once.
"""

from __future__ import annotations

from typing import Any, Final

from whimbrel_agent.intake.timetext import time_ns_of_text
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, make_event

__all__ = ["FIELDS", "event_of"]

FIELDS: Final = (
    "type",
    "source",
    "time",
    "time_ns",
    "data",
    "zone",
    "subject",
    "lane",
    "dedup_key",
    "extensions",
)
_KNOWN: Final = frozenset(FIELDS)
_USUAL_FIELDS: Final = 5
"""Type, source, time, data and zone: what nearly every line has, and nothing else."""


def event_of(value: Any, now_ns: int) -> Event:
    """Give the event that a decoded object means; its limits are not checked yet.

    Args:
        value: what the JSON or CBOR reader gave.
        now_ns: the time of an event that brings none, nanoseconds UTC.

    Raises:
        FieldError: not an object, an unknown or missing field, two times, or a bad time text.
    """
    if type(value) is not dict or not _KNOWN.issuperset(value):
        raise _refusal(value)
    if "type" not in value or "source" not in value:
        raise _refusal(value)
    given = value.get
    if "time" not in value:
        time_ns = given("time_ns", now_ns)
    elif "time_ns" in value:
        raise FieldError("time", value["time"], "must not stand beside time_ns: give one of them")
    else:
        time_ns = time_ns_of_text("time", value["time"])
    data, zone = given("data"), given("zone")
    if data is not None and zone is not None and len(value) == _USUAL_FIELDS and "time" in value:
        # the five are all there, so no other field is to be looked up
        return make_event(
            value["type"], value["source"], time_ns, data, zone, None, "normal", None, {}
        )
    return make_event(
        value["type"],
        value["source"],
        time_ns,
        given("data", {}),
        zone,
        given("subject"),
        given("lane", "normal"),
        given("dedup_key"),
        given("extensions", {}),
    )


def _refusal(value: Any) -> FieldError:
    if type(value) is not dict:
        return FieldError("event", value, "must be an object with type and source")
    for key in value:
        if key not in _KNOWN:
            shown = key if type(key) is str and key.isprintable() and key else repr(key)
            return FieldError(
                shown[:80],
                value[key],
                f"is not a field of an event: use {', '.join(FIELDS)}, or put it into data",
            )
    missing = "type" if "type" not in value else "source"
    return FieldError(missing, None, "is required: text of 1 to 256 bytes")
