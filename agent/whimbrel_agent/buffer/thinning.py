"""Thinning of numeric series: fewer values of each, then one that says what they were.

Pure. A series is what one source says about one subject in events of one form, whose data holds
numbers that change and otherwise only what does not: readings, not sales. First every other
value goes; when that is not enough, one event takes the place of all: the mean under each
number's own name, the least and the greatest beside it, marked as a summary by extensions::

    {"celsius": 4.2, "unit": "C"}, ...   ->   {"celsius": 4.6, "celsius_min": 4.1,
                                               "celsius_max": 5.3, "unit": "C"}
    extensions: summarycount = 60 (values in it), summaryfrom = time of the first, ns

The newest event of a series keeps its place; a summary stands in it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final

from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import SUMMARY_COUNT, SUMMARY_FROM, Event, validate_event

MIN_HALVED: Final = 4
"""Values of a series in one frame from which on every other one may go."""

Item = tuple[int, Event]
"""A sequence and its event."""


class Step(IntEnum):
    """How far thinning has gone; each step costs less than dropping what it saves."""

    HALVE = 0
    SUMMARISE = 1


def thin(items: Sequence[Item], step: Step) -> list[Item] | None:
    """Return what is kept of a frame's events, in their order; None when nothing can go."""
    groups: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, (_, event) in enumerate(items):
        if SUMMARY_COUNT not in event.extensions:
            names = (event.type, event.source, event.subject, event.zone, tuple(event.data))
            groups[names].append(index)
    kept: dict[int, Event | None] = {}
    for places in groups.values():
        _thin_series([items[place][1] for place in places], places, step, kept)
    if not kept:
        return None
    return [
        (sequence, left)
        for index, (sequence, event) in enumerate(items)
        if (left := kept.get(index, event)) is not None
    ]


def _thin_series(
    events: Sequence[Event], places: Sequence[int], step: Step, kept: dict[int, Event | None]
) -> None:
    """Note for some places what becomes of them: None goes, an event takes the place."""
    if len(events) < (MIN_HALVED if step is Step.HALVE else 2):
        return
    numbers = _numbers_of(events)
    if not numbers:
        return
    if step is Step.HALVE:
        kept.update(dict.fromkeys(places[-2::-2]))
        return
    summary = _summary_of(events, numbers)
    if summary is not None:
        kept.update(dict.fromkeys(places[:-1]))
        kept[places[-1]] = summary


def _numbers_of(events: Sequence[Event]) -> list[str]:
    """Return the keys whose values are numbers; none when another key's values change."""
    found = []
    first = events[0]
    for key, value in first.data.items():
        if all(_is_number(event.data[key]) for event in events):
            found.append(key)
        elif any(
            type(event.data[key]) is not type(value) or event.data[key] != value for event in events
        ):
            return []
    if any(event.extensions != first.extensions for event in events):
        return []
    return found


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _summary_of(events: Sequence[Event], numbers: Sequence[str]) -> Event | None:
    """Return one event for all of a series; None when its names or sizes do not allow one."""
    last = events[-1]
    data = dict(last.data)
    for key in numbers:
        values = [event.data[key] for event in events]
        least, greatest = f"{key}_min", f"{key}_max"
        if least in data or greatest in data:
            return None
        data[key] = _mean(values)
        data[least], data[greatest] = min(values), max(values)
    marks = {SUMMARY_COUNT: len(events), SUMMARY_FROM: min(event.time_ns for event in events)}
    summary = replace(last, data=data, dedup_key=None, extensions={**last.extensions, **marks})
    try:
        validate_event(summary)
    except FieldError:  # a name too long with its ending, or too many
        return None
    return summary


def _mean(values: Sequence[int | float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # each is finite, their sum is not
        return math.fsum(value / len(values) for value in values)
