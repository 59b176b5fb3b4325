"""A workload's events as bare columns: what is easiest for a general compressor.

What this is: a measure for the entropy's test, harder than any real format, since all that follows
from other fields is left out, times are the ticks that were drawn, and texts are numbers whose
list is not even counted. What it is not: a format; nothing reads it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from whimbrel_protocol.event import Event

from .device import Kind
from .hours import ORDINARY, Day
from .kinds import KINDS

__all__ = ["plain_bytes"]

_MS_NS: Final = 1_000_000
_TENTHS: Final = 10
"""Numbers with a fraction have one digit of it."""


class _Source:
    """One device's columns: ticks since its event before, its type, and what tells the rest."""

    __slots__ = ("before_ms", "columns", "kind", "ticks", "types")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.before_ms: int | None = None
        self.ticks: list[int] = []
        self.types: list[str] = []
        self.columns: list[list[Any]] = [[] for _ in kind.telling]

    def add(self, event: Event, day: Day, rate: float) -> None:
        time_ms = event.time_ns // _MS_NS
        if self.before_ms is not None:
            ticks = self.kind.pace.ticks_between(day, self.before_ms, time_ms, rate)
            self.ticks.append(ticks)
        self.before_ms = time_ms
        self.types.append(event.type)
        data = event.data
        for column, name in zip(self.columns, self.kind.telling, strict=True):
            column.append(data[name])


def plain_bytes(events: Iterable[Event], *, day: Day = ORDINARY, rate: float = 1.0) -> bytes:
    """Write events of a store day as columns of fixed width, device by device.

    Args:
        events: of a ``StoreDay``, in order.
        day: its hours.
        rate: its rate.
    """
    sources: dict[str, _Source] = {}
    for event in events:
        source = sources.get(event.source)
        if source is None:
            kind = KINDS[event.source.rpartition("-")[0]]
            source = sources[event.source] = _Source(kind)
        source.add(event, day, rate)
    by_kind: dict[str, list[_Source]] = {}
    for name in sorted(sources):
        source = sources[name]
        by_kind.setdefault(source.kind.name, []).append(source)
    return b"".join(map(_kind_bytes, by_kind.values()))


def _kind_bytes(sources: Sequence[_Source]) -> bytes:
    columns: list[list[list[Any]]]
    columns = [[source.ticks for source in sources], [source.types for source in sources]]
    columns += [[source.columns[at] for source in sources] for at in range(len(sources[0].columns))]
    return b"".join(_column_bytes(column) for column in columns)


def _column_bytes(parts: Sequence[Sequence[Any]]) -> bytes:
    """Write one column, its parts one after another, as values or as steps: what says less."""
    numbers = _numbers(parts)
    steps = [[after - before for before, after in pairwise([0, *part])] for part in numbers]
    flat, walked = ([value for part in form for value in part] for form in (numbers, steps))
    return _planes(min(flat, walked, key=_order_0_bits))


def _numbers(parts: Sequence[Sequence[Any]]) -> list[list[int]]:
    kinds = {type(value) for part in parts for value in part}
    if kinds <= {int}:
        return [list(part) for part in parts]
    if kinds <= {int, float}:
        return [[round(value * _TENTHS) for value in part] for part in parts]
    known: dict[Any, int] = {}
    return [[known.setdefault(value, len(known)) for value in part] for part in parts]


def _order_0_bits(values: Sequence[int]) -> float:
    counts = Counter(values).values()
    return sum(count * math.log2(len(values) / count) for count in counts)


def _planes(values: Sequence[int]) -> bytes:
    """Write the lowest bytes of all values, then the next, as far as any value reaches."""
    if not values:
        return b""
    low = min(values)
    raised = [value - low for value in values]
    size = max(1, (max(raised).bit_length() + 7) // 8)
    return b"".join(bytes(value >> 8 * at & 255 for value in raised) for at in range(size))
