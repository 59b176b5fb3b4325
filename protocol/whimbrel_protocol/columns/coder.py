"""Writing streams by a dictionary's histograms: which one, whether it pays, and what was coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from whimbrel_protocol.columns.histograms import Histogram, Histograms, Place, Placed
from whimbrel_protocol.columns.rans import Share, write_shares

__all__ = ["Coder", "KnownTexts", "Noted", "Offer"]

_USUAL: Final = 1.25
_USUAL_BITS: Final = 24
"""A stream that takes at most so many times what its histogram promises, and a little, is not planned in
other ways: that takes longer than coding it."""


KnownTexts = dict[int, set[str]]
"""By the number of a table the texts that it knew when a frame was sealed."""


_CONSTANT_BITS: Final = 8
"""What other forms need for values that are all the same."""


class Noted(NamedTuple):
    """A stream that no histogram was for, and what it takes as it is planned."""

    place: Place
    values: Sequence[int]
    cost_bytes: float


class Offer(NamedTuple):
    """One histogram's way to write a stream."""

    number: int
    histogram: Histogram
    placed: Placed
    is_constant: bool

    @property
    def cost_bytes(self) -> float:
        """What it takes, its byte in the head included."""
        return 1 + self.placed.cost_bits / 8

    @property
    def is_usual(self) -> bool:
        """Whether it is about what was to be expected, and no other form may be much shorter."""
        if self.is_constant:
            return self.placed.cost_bits <= _CONSTANT_BITS
        usual_bits = self.histogram.bits_a_value * len(self.placed.rest)
        return self.placed.cost_bits <= _USUAL * usual_bits + _USUAL_BITS


class Coder:
    """Codes streams of one body, which come column by column.

    Args:
        histograms: that may be used.
        known: for learning; streams are laid out as if there were a histogram for each, and texts that a
            table has learned since as if it did not know them. Grows.

    Attributes:
        noted: streams that no histogram was for.
    """

    __slots__ = ("_column", "_histograms", "_known", "_nth", "_shares", "noted")

    def __init__(self, histograms: Histograms, known: KnownTexts | None = None) -> None:
        self._histograms = histograms
        self._known = known
        self._shares: list[Share] = []
        self.noted: list[Noted] = []
        self.begin("", "")

    def begin(self, event_type: str, key: str, nth: int = 0) -> None:
        """Say which column comes, and which stream of it; in the head of a frame there is no type."""
        self._column = (event_type, key)
        self._nth = nth

    def knows(self, place: Place | None = None) -> bool:
        """Whether how often values come may be known of the stream of a place, or of the next one."""
        asked = place or (*self._column, self._nth)
        return self._known is not None or asked in self._histograms.by_place

    def as_known(self, table: int, texts: Sequence[str], numbers: list[int]) -> list[int]:
        """Return numbers of rows of texts; 0 for those that, learning, come for the first time."""
        if self._known is None:
            return numbers
        known = self._known.setdefault(table, set())
        told = [number if text in known else 0 for text, number in zip(texts, numbers, strict=True)]
        known.update(texts)
        return told

    def offer(self, values: Sequence[int]) -> Offer | None:
        """Place the next stream of the column, where there is a histogram of it."""
        number = self._histograms.by_place.get((*self._column, self._nth))
        self._nth += 1
        if number is None:
            return None
        histogram = self._histograms.all[number]
        is_constant = min(values) == max(values)
        return Offer(number, histogram, histogram.place_values(values), is_constant)

    def take(self, offer: Offer) -> None:
        """Code a stream."""
        self._shares += offer.histogram.shares(offer.placed)

    def note(self, values: Sequence[int], cost_bytes: float) -> None:
        """Take note of the stream that was just asked for, and that is written in another way."""
        self.noted.append(Noted((*self._column, self._nth - 1), values, cost_bytes))

    def finish(self) -> bytes:
        """Return what was coded."""
        return write_shares(self._shares)
