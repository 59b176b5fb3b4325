"""How often the values of streams come, learned from frames that were sealed.

A histogram's bins are halves of halves of its range, cut where that makes values and bins together
shortest (minimum description length: J. Rissanen, "Modeling by shortest data description", Automatica
14, 1978). So a few words have a bin each, and times that are as likely as not some wide ones. A histogram is
kept where it says more of streams that it was not learned from than other forms do. Pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd, log2
from operator import itemgetter, sub
from typing import Final

from whimbrel_agent.dictionaries.hindsight import Known
from whimbrel_protocol.columns.coder import Noted
from whimbrel_protocol.columns.histograms import (
    MAX_BIN_BITS,
    SHARE_BITS,
    Bin,
    Histogram,
    Histograms,
    Place,
)
from whimbrel_protocol.columns.numbers import fold
from whimbrel_protocol.columns.writing import streams_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_BINS, MAX_HISTOGRAM_BINS, MAX_HISTOGRAMS, MAX_STREAM_NUMBER
from whimbrel_protocol.shared import Shared

LEAST_VALUES: Final = 48
"""Fewer tell little of how often each comes."""

BIN_BITS: Final = 12.0
"""What a bin costs beside telling its share: some bytes of the dictionary, over some frames, and what is lost
where it was chance. With 4 or 24 frames differ by 1 per cent."""


_OUTSIDE_BITS: Final = 80
"""About what a number outside takes."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values as numbers, sorted; ``outside`` are so many that are too far from the others."""

    differences: bool
    before: int
    base: int
    step: int
    numbers: list[int]
    outside: int


class StreamValues:
    """Collects the values of frames' streams.

    What tables have learned from just these frames they are taken to learn as these come
    (A. P. Dawid, "The prequential approach", J. R. Stat. Soc. A 147, 1984): else there would seem to be
    nothing new ever.

    Args:
        shared: what frames will have beside histograms.
        before: what its tables knew before the frames.
    """

    def __init__(self, shared: Shared, before: Known) -> None:
        self._shared = shared
        self._known = {number: set(values) for number, values in before.items()}
        self._streams: dict[Place, list[array[int]]] = {}
        self._judged: dict[Place, list[Noted]] = {}

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame to learn from, of at least one event."""
        for one in self._noted(events):
            self._streams.setdefault(one.place, []).append(array("q", one.values))

    def judge(self, events: Sequence[Event]) -> None:
        """Take note of a frame that came later, to judge on and then to learn from as well."""
        for one in self._noted(events):
            values = array("q", one.values)
            self._judged.setdefault(one.place, []).append(one._replace(values=values))

    def _noted(self, events: Sequence[Event]) -> Iterator[Noted]:
        noted = streams_of(events, self._shared, self._known)
        return (one for one in noted if one.place[2] <= MAX_STREAM_NUMBER)

    def found(self) -> Generator[None, None, Histograms]:
        """Return the histograms that pay, those first that save most; a stream is a step."""
        found = []
        for place, judged_on in self._judged.items():
            streams = self._streams.get(place, [])
            saved_bytes = _saved_bytes(place, streams, judged_on)
            if saved_bytes > 0:
                whole = _fitted(place, [*streams, *(one.values for one in judged_on)])
                found.append((saved_bytes, whole))
            yield
        found.sort(key=lambda one: (-one[0], one[1].place))
        return Histograms(_within(histogram for _, histogram in found))


def _within(histograms: Iterable[Histogram]) -> Iterator[Histogram]:
    """Yield those for which a dictionary has room."""
    bins = count = 0
    for one in histograms:
        if bins + len(one.bins) <= MAX_BINS and count < MAX_HISTOGRAMS:
            bins += len(one.bins)
            count += 1
            yield one


def _saved_bytes(
    place: Place, streams: Sequence[Sequence[int]], judged_on: Sequence[Noted]
) -> float:
    """Return what a histogram of streams saves in other ones; none where there are too few values."""
    if sum(map(len, streams)) < LEAST_VALUES:
        return 0.0
    histogram = _fitted(place, streams)
    coded = sum(1 + histogram.place_values(one.values).cost_bits / 8 for one in judged_on)
    return sum(one.cost_bytes for one in judged_on) - coded


def _fitted(place: Place, streams: Sequence[Sequence[int]]) -> Histogram:
    """Return the best histogram of streams: of their values, or of differences."""
    tried = [_fit(_sample_of(streams)), _fit(_sample_of_differences(streams))]
    _, bins, sample = min(tried, key=itemgetter(0))
    return Histogram(
        place,
        sample.differences,
        sample.before,
        sample.base,
        sample.step,
        _shared_out(sample, bins),
    )


def _sample_of(streams: Sequence[Sequence[int]]) -> _Sample:
    return _numbered([value for stream in streams for value in stream], differences=False)


def _sample_of_differences(streams: Sequence[Sequence[int]]) -> _Sample:
    firsts = sorted(stream[0] for stream in streams)
    before = firsts[len(firsts) // 2]
    rest = [step for stream in streams for step in fold([*map(sub, stream, [before, *stream])])]
    return _numbered(rest, before, differences=True)


def _numbered(rest: list[int], before: int = 0, *, differences: bool) -> _Sample:
    rest.sort()
    if rest[-1] - rest[0] >= 1 << MAX_BIN_BITS:
        middle = rest[len(rest) // 2]
        near = [value for value in rest if abs(value - middle) < 1 << MAX_BIN_BITS - 1]
    else:
        near = rest
    base = near[0]
    step = gcd(*(value - base for value in near)) or 1
    numbers = [(value - base) // step for value in near]
    return _Sample(differences, before, base, step, numbers, len(rest) - len(near))


_Cut = tuple[float, list[tuple[int, int, int]]]
"""What values and bins take, in bits, and of each bin start, bits and how many values it has."""


def _fit(sample: _Sample) -> tuple[float, list[tuple[int, int, int]], _Sample]:
    numbers = sample.numbers
    size = len(numbers)
    bin_cost = BIN_BITS + log2(size) / 2

    def cut(low: int, high: int, start: int, bits: int) -> _Cut:
        count = high - low
        if not count:
            return 0.0, []
        whole = count * (log2(size / count) + bits) + bin_cost
        if count * bits <= bin_cost:
            return whole, [(start, bits, count)]
        half = start + (1 << bits - 1)
        at = bisect_left(numbers, half, low, high)
        left, right = cut(low, at, start, bits - 1), cut(at, high, half, bits - 1)
        if left[0] + right[0] < whole:
            return left[0] + right[0], left[1] + right[1]
        return whole, [(start, bits, count)]

    cost, bins = cut(0, size, 0, numbers[-1].bit_length())
    return cost + sample.outside * _OUTSIDE_BITS, bins, sample


def _shared_out(sample: _Sample, bins: list[tuple[int, int, int]]) -> tuple[Bin, ...]:
    """Return bins with their shares; what is seldom outside has one too.

    As many values may come from outside as bins have one only (I. J. Good, "The population frequencies of
    species", Biometrika 40, 1953).
    """
    most_first = sorted(bins, key=lambda one: (-one[2], one[0]))
    kept, left = most_first[:MAX_HISTOGRAM_BINS], most_first[MAX_HISTOGRAM_BINS:]
    outside = 1 + sample.outside + sum(count for _, _, count in left)
    outside += sum(count == 1 for _, _, count in kept)
    size = outside + sum(count for _, _, count in kept)
    whole = 1 << SHARE_BITS
    shares = [max(1, count * whole // size) for _, _, count in kept]
    over = whole - max(1, outside * whole // size) - sum(shares)
    for at in range(
        abs(over)
    ):  # what is left, or too much where many are seldom, the largest ones first
        shares[at % len(shares) if over > 0 else shares.index(max(shares))] += 1 if over > 0 else -1
    pairs = zip(kept, shares, strict=True)
    return tuple(sorted(Bin(start, bits, share) for (start, bits, _), share in pairs))
