"""How often the values of a stream come, as a dictionary knows it, and streams coded by that.

A histogram has bins of 2^bits numbers each and the share that each has of 2^14; what is left is the share
of numbers outside of all bins. A value v stands for the number (v - base) / step, or with
``differences`` (v - the one before - base) / step. In a frame it is its bin's share, then as many bits as the bin has; outside: the
share of those, 7 bits that say how many follow, and the value (or difference) as a zigzag. See ``rans``.

``Place`` says which streams a histogram was learned from: type of the events, key of data, and which
stream of that column, from 0. In the head of a frame there is no type. A reader need not know it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from math import log2
from operator import mul, sub
from typing import Final, NamedTuple

from whimbrel_protocol.columns.numbers import fold, unzigzag, zigzag
from whimbrel_protocol.columns.rans import MAX_BITS, WORD, WORD_BITS, Share, ShareReader
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = [
    "MAX_BIN_BITS",
    "NO_HISTOGRAMS",
    "SHARE_BITS",
    "Bin",
    "Histogram",
    "Histograms",
    "Place",
    "Placed",
]

SHARE_BITS: Final = 14
"""Shares are of 2 to this: what comes once in 16,384 values takes 14 bits."""

MAX_BIN_BITS: Final = 56
"""Of one bin: wide enough for two years in nanoseconds."""

_LENGTH_BITS: Final = 7
"""Say how many bits a number outside has, 0 to 64."""

_MAX_FAR_BITS: Final = 64

_SMALL_SPAN: Final = 2_048
"""So many numbers find their bins in a table of bytes: half the time of a search."""

Place = tuple[str, str, int]


class Bin(NamedTuple):
    """Numbers from ``start`` on, 2^``bits`` of them, and their share of 2^``SHARE_BITS``."""

    start: int
    bits: int
    share: int


class Placed(NamedTuple):
    """Values of a stream as a histogram has them.

    Attributes:
        rest: the values or their differences.
        numbers: these as numbers; -1 where they are none.
        bins: of each number its bin; beyond the last one: outside.
        cost_bits: what they take.
    """

    rest: Sequence[int]
    numbers: Sequence[int]
    bins: Sequence[int]
    cost_bits: float


class _Parts(NamedTuple):
    """Of each bin, and at last of what is outside, what coding takes; values and numbers of bins only."""

    numbers: list[int]
    values: list[int]
    widths: list[int]
    sizes: list[int]
    starts: list[int]
    costs: list[float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram.

    Attributes:
        place: of the streams that it was learned from.
        differences: whether it is of differences.
        before: with differences, what is taken to come before the first value.
        base: what number 0 stands for.
        step: between what two numbers stand for that follow each other; at least 1.
        bins: ascending, none in another; may be none.
    """

    place: Place
    differences: bool
    before: int
    base: int
    step: int
    bins: tuple[Bin, ...]
    bits_a_value: float = field(init=False, repr=False, compare=False)
    _parts: _Parts = field(init=False, repr=False, compare=False)
    _table: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sizes = [one.share for one in self.bins]
        sizes.append((1 << SHARE_BITS) - sum(sizes))
        widths = [*(one.bits for one in self.bins), _LENGTH_BITS]
        costs = [SHARE_BITS - log2(size) + bits for size, bits in zip(sizes, widths, strict=True)]
        parts = _Parts(
            [one.start for one in self.bins],
            [self.base + one.start * self.step for one in self.bins],
            widths,
            sizes,
            [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)],
            costs,
        )
        put = object.__setattr__  # what follows from the fields
        put(self, "bits_a_value", sum(map(mul, sizes, costs)) / (1 << SHARE_BITS))
        put(self, "_parts", parts)
        put(self, "_table", self._small_table())

    def _small_table(self) -> bytes:
        """Return the bin of each number up to the end of the last bin, where these are not many."""
        end = self.bins[-1].start + (1 << self.bins[-1].bits) if self.bins else 0
        if end > _SMALL_SPAN or len(self.bins) > 255:
            return b""
        table = bytearray([len(self.bins)]) * end
        for at, (start, bits, _) in enumerate(self.bins):
            table[start : start + (1 << bits)] = bytes([at]) * (1 << bits)
        return bytes(table)

    def place_values(self, values: Sequence[int]) -> Placed:
        """Find the bins of at least one value of signed 64 bits, and what they cost."""
        rest = values
        if self.differences:
            rest = fold(list(map(sub, values, chain((self.before,), values))))
        base, step = self.base, self.step
        numbers = rest
        if step > 1:
            parts = [divmod(value - base, step) for value in rest]
            numbers = [-1 if left else number for number, left in parts]
        elif base:
            numbers = [value - base for value in rest]
        bins = self._find(numbers)
        outside = len(self.bins)
        cost = sum(map(self._parts.costs.__getitem__, bins))
        if outside in bins:
            far = (value for value, at in zip(rest, bins, strict=True) if at == outside)
            cost += sum(zigzag(value).bit_length() for value in far)
        return Placed(rest, numbers, bins, cost)

    def _find(self, numbers: Sequence[int]) -> Sequence[int]:
        table, outside = self._table, len(self.bins)
        if table:
            if min(numbers) >= 0 and max(numbers) < len(table):
                return list(map(table.__getitem__, numbers))
            return [table[one] if 0 <= one < len(table) else outside for one in numbers]
        starts, widths = self._parts.numbers, self._parts.widths
        found = [bisect_right(starts, number) - 1 for number in numbers]
        return [
            at if at >= 0 and number - starts[at] < 1 << widths[at] else outside
            for at, number in zip(found, numbers, strict=True)
        ]

    def shares(self, placed: Placed) -> Iterator[Share]:
        """Give the shares of values that were placed, in their order."""
        firsts, _, widths, sizes, starts, _ = self._parts
        outside = len(self.bins)
        for value, number, at in zip(placed.rest, placed.numbers, placed.bins, strict=True):
            yield starts[at], sizes[at], SHARE_BITS
            if at < outside:
                bits = widths[at]
                left = number - firsts[at] if bits else 0
            else:
                left = zigzag(value)
                bits = left.bit_length()
                yield bits, 1, _LENGTH_BITS
            while bits > MAX_BITS:
                yield left % (1 << MAX_BITS), 1, MAX_BITS
                left >>= MAX_BITS
                bits -= MAX_BITS
            if bits:
                yield left, 1, bits

    def read(self, coded: ShareReader, count: int) -> list[int]:
        """Give back ``count`` values, at least one.

        Raises:
            RemoteProtocolError: malformed.
        """
        _, firsts, widths, sizes, starts, _ = self._parts
        step, outside = self.step, len(self.bins)
        mask, state, words = (1 << SHARE_BITS) - 1, coded.state, coded.words
        rest = []
        for _ in range(count):  # as coded.symbol and coded.number, which take three times as long
            part = state & mask
            at = bisect_right(starts, part) - 1
            state = sizes[at] * (state >> SHARE_BITS) + part - starts[at]
            if state < WORD and words:
                state = state << WORD_BITS | words.pop()
            bits = widths[at]
            if not bits:
                rest.append(firsts[at])
            elif at == outside:
                coded.state = state
                rest.append(_read_far(coded))
                state = coded.state
            elif bits <= MAX_BITS:
                rest.append(firsts[at] + (state & (1 << bits) - 1) * step)
                state >>= bits
                if state < WORD and words:
                    state = state << WORD_BITS | words.pop()
            else:
                coded.state = state
                rest.append(firsts[at] + coded.number(bits) * step)
                state = coded.state
        coded.state = state
        if self.differences:
            rest = list(accumulate(rest, initial=self.before))[1:]
        return fold(rest)


class Histograms:
    """Those of a dictionary; a stream names one by its place among them."""

    __slots__ = ("all", "by_place")

    def __init__(self, histograms: Iterable[Histogram] = ()) -> None:
        self.all = tuple(histograms)
        self.by_place = {one.place: number for number, one in enumerate(self.all)}

    def __bool__(self) -> bool:
        return bool(self.all)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histograms) and self.all == other.all

    def __hash__(self) -> int:
        return hash(self.all)


NO_HISTOGRAMS: Final = Histograms()


def _read_far(coded: ShareReader) -> int:
    bits = coded.number(_LENGTH_BITS)
    if bits > _MAX_FAR_BITS:
        raise RemoteProtocolError(f"a coded number has {bits} bits: at most {_MAX_FAR_BITS}")
    return unzigzag(coded.number(bits))
