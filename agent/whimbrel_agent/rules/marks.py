"""How an event says what it stands for. Pure.

================  ==========================================================================
extension
================  ==========================================================================
``edgerule``      the rule's name
``edgecount``     raw events that this one stands for, itself included
``edgefromns``    time of the first of them; left out when it stands for itself alone
``edgetons``      time of the last of them; left out when that is the event's own time
================  ==========================================================================

The counts of all events of a rule and key add up to the raw events that the rule took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from whimbrel_agent.rules.values import Step
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event

__all__ = [
    "COUNT",
    "FROM",
    "NO_NUMBER",
    "RULE",
    "TO",
    "TOO_LARGE",
    "count_of",
    "marked",
    "marks_of",
    "odd",
]

NO_NUMBER: Final = "no-number"
TOO_LARGE: Final = "too-large"
"""Why a rule lets an event go on as it is: a field holds no number, or it is too large to hold."""

RULE: Final = "edgerule"
COUNT: Final = "edgecount"
FROM: Final = "edgefromns"
TO: Final = "edgetons"


def marks_of(rule: str, count: int, from_ns: int, to_ns: int, time_ns: int) -> dict[str, Any]:
    """Give the extensions of an event with this time."""
    marks: dict[str, Any] = {RULE: rule, COUNT: count}
    if count > 1 or from_ns != time_ns:
        marks[FROM] = from_ns
    if to_ns != time_ns:
        marks[TO] = to_ns
    return marks


def marked(event: Event, rule: str, count: int, from_ns: int, to_ns: int | None = None) -> Event:
    """Mark a raw event; one that would thereby pass a limit of events stays as it is."""
    last_ns = event.time_ns if to_ns is None else to_ns
    marks = marks_of(rule, count, from_ns, last_ns, event.time_ns)
    found = replace(event, extensions={**event.extensions, **marks})
    try:
        validate_event(found)
    except FieldError:
        return event
    return found


def count_of(extensions: Mapping[str, Any]) -> int:
    """Say how many raw events one with these extensions stands for."""
    count = extensions.get(COUNT, 1)
    return count if type(count) is int else 1


def odd(state: Any, event: Event, rule: str, reason: str) -> Step:
    """Let an event go on that the rule can do nothing with, and say why."""
    return Step(state, passed=marked(event, rule, 1, event.time_ns), reason=reason)
