"""Histograms made by hand: of each value how often it came, a bin each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import sub

from whimbrel_protocol.columns.histograms import (
    SHARE_BITS,
    Bin,
    Histogram,
    Histograms,
    Place,
)
from whimbrel_protocol.columns.numbers import fold
from whimbrel_protocol.columns.writing import streams_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_BINS
from whimbrel_protocol.shared import NOTHING_SHARED, Shared

PLACE: Place = ("sale", "n", 0)


def counted(values: Sequence[int], place: Place = PLACE, *, differences: bool = False) -> Histogram:
    """The histogram of at least one value, of not too many different ones."""
    before = values[0] if differences else 0
    rest = fold([*map(sub, values, [before, *values])]) if differences else values
    base = min(rest)
    counts = Counter(value - base for value in rest)
    spare = (1 << SHARE_BITS) - len(counts) - 1
    bins = tuple(Bin(n, 0, 1 + counts[n] * spare // len(rest)) for n in sorted(counts))
    return Histogram(place, differences, before, base, 1, bins)


def counted_of(frames: Iterable[Sequence[Event]], shared: Shared = NOTHING_SHARED) -> Histograms:
    """Histograms of all streams of frames but of those with very many different values."""
    streams: dict[Place, list[int]] = {}
    for events in frames:
        for one in streams_of(events, shared, {}):
            streams.setdefault(one.place, []).extend(one.values)
    few = {place: values for place, values in streams.items() if len(set(values)) <= MAX_BINS // 16}
    return Histograms(counted(values, place) for place, values in few.items())
