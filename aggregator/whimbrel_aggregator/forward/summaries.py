"""What stands for events that are not forwarded one by one: samples and summaries. Pure.

A summary stands for the events of one frame that have the same type, source and zone. It has the
form of the edge's window rule: ``data`` is ``count``, and ``<field>_min``, ``_max``, ``_mean`` and
``_last`` for each number in the events' own data. It takes the place, the sequence and the time of the
last of them, and says so: its type and its ``id`` end in ``.summary`` and ``/summary``, and the
extensions ``summaryof`` and ``summaryfromns`` are their number and the time of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from whimbrel_aggregator.reading import CommittedEvent
from whimbrel_protocol.event import SUMMARY_COUNT, Event

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
            return [one for one in events if one.sequence % one_in == 0 or _is_summary(one)]
        case Rung.SUMMARISED:
            return summarised(events)
        case Rung.STORE_ONLY | Rung.SHED:
            return []


def summarised(events: Sequence[CommittedEvent]) -> list[CommittedEvent]:
    """Return one summary for each type, source and zone; those of devices go on as they are."""
    groups: dict[tuple[str, str, str | None], list[CommittedEvent]] = {}
    for one in events:
        event = one.event
        if not _is_summary(one):
            groups.setdefault((event.type, event.source, event.zone), []).append(one)
    summaries = [_summary(group) for group in groups.values()]
    summaries += filter(_is_summary, events)
    return sorted(summaries, key=lambda summary: summary.position)


def _is_summary(one: CommittedEvent) -> bool:
    """Say whether a device has thinned it already: of a summary no other is made."""
    return SUMMARY_COUNT in one.event.extensions


def _summary(group: Sequence[CommittedEvent]) -> CommittedEvent:
    last = group[-1]
    times_ns = [one.event.time_ns for one in group]
    fields: dict[str, list[float]] = {}
    for one in group:
        for name, value in one.event.data.items():
            if type(value) in (int, float):
                fields.setdefault(name, []).append(value)
    data: dict[str, Any] = {"count": len(group)}
    for name, values in sorted(fields.items())[:MAX_FIELDS]:
        data[f"{name}_min"], data[f"{name}_max"] = min(values), max(values)
        data[f"{name}_mean"], data[f"{name}_last"] = sum(values) / len(values), values[-1]
    event = Event(
        type=f"{last.event.type}.summary",
        source=last.event.source,
        time_ns=max(times_ns),
        zone=last.event.zone,
        lane=last.event.lane,
        data=data,
        extensions={"summaryof": len(group), "summaryfromns": str(min(times_ns))},
    )
    return replace(last, id=f"{last.identity}/summary", event=event)
