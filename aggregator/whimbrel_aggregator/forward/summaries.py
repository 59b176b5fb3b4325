"""What stands for events that are not forwarded one by one: samples and summaries. Pure.

A summary stands for the events of one frame that have the same type, source and zone. It takes
the place and the sequence of the last of them, and says so: ``id`` ends in ``/summary``, the
extension ``summaryof`` is how many events it stands for, and ``data`` is::

    {"count": 3, "from_ns": ..., "until_ns": ..., "fields": {"celsius": {"min", "max", "mean", "last"}}}

with one entry for each number in the events' own data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from whimbrel_aggregator.reading import CommittedEvent
from whimbrel_protocol.event import Event

from .ladder import Rung

MAX_FIELDS: Final = 64
"""Numbers of one event that are summarised; the least names in their order, if there are more."""


def thinned(
    events: Sequence[CommittedEvent], rung: Rung, *, one_in: int
) -> Sequence[CommittedEvent]:
    """Return what a rung forwards of a frame whose lane it thins, in the order of positions."""
    match rung:
        case Rung.FULL:
            return events
        case Rung.SAMPLED:
            return [event for event in events if event.sequence % one_in == 0]
        case Rung.SUMMARISED:
            return summarised(events)
        case Rung.STORE_ONLY | Rung.SHED:
            return []


def summarised(events: Sequence[CommittedEvent]) -> list[CommittedEvent]:
    """Return one summary for each type, source and zone."""
    groups: dict[tuple[str, str, str | None], list[CommittedEvent]] = {}
    for one in events:
        event = one.event
        groups.setdefault((event.type, event.source, event.zone), []).append(one)
    summaries = [_summary(group) for group in groups.values()]
    return sorted(summaries, key=lambda summary: summary.position)


def _summary(group: Sequence[CommittedEvent]) -> CommittedEvent:
    last = group[-1]
    times_ns = [one.event.time_ns for one in group]
    fields: dict[str, list[float]] = {}
    for one in group:
        for name, value in one.event.data.items():
            if type(value) in (int, float):
                fields.setdefault(name, []).append(value)
    data: dict[str, Any] = {
        "count": len(group),
        "from_ns": min(times_ns),
        "until_ns": max(times_ns),
        "fields": {
            name: {
                "min": min(values),
                "max": max(values),
                "mean": sum(values) / len(values),
                "last": values[-1],
            }
            for name, values in sorted(fields.items())[:MAX_FIELDS]
        },
    }
    event = Event(
        type=last.event.type,
        source=last.event.source,
        time_ns=last.event.time_ns,
        zone=last.event.zone,
        lane=last.event.lane,
        data=data,
        extensions={"summaryof": len(group)},
    )
    return replace(last, id=f"{last.identity}/summary", event=event)
