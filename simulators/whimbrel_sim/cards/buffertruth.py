"""What a buffer must hold after a crash, said by the marks alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, Final

from whimbrel_protocol.sequences import RangeSet

from .till import BrokenPromiseError

Stream = tuple[int, str]
"""Epoch and lane."""

Ranges = defaultdict[Stream, RangeSet]

QUIET: Final = frozenset({"opening", "closed", "damaged", "failed"})
"""Marks that change nothing here; what failed stays an offer: it may be there."""


@dataclass(slots=True)
class Offer:
    """A group that was given and not answered: all of it may be there, or none.

    ``loose`` are those of a lane with a durability window: they may also be missing alone.
    """

    numbers: list[int]
    keyed: bool
    checkpoint: str | None
    loose: list[int]


def _ranges() -> Ranges:
    return defaultdict(RangeSet)


def _copied(ranges: Ranges) -> Ranges:
    return defaultdict(RangeSet, {stream: own.copy() for stream, own in ranges.items()})


@dataclass(slots=True)
class BufferTruth:
    """What the marks say so far.

    Attributes:
        places: per stream, sequence -> number of the event that was answered with it.
        offers: groups without an answer.
        keys: number of a keyed event -> its place.
        released: what a receipt was given for; ``settled`` where that was answered.
        spoilt: what may be gaps since the workload itself damaged the file.
        safe: per stream with a durability window, the last sequence whose window is over.
        published: (stream, first) -> (span, digest) of frames that may have been sent.
        checkpoint: the last that was answered.
        epochs: numberings so far.
        damaged: whether the workload has damaged the file.
    """

    places: dict[Stream, dict[int, int]] = field(default_factory=dict)
    offers: list[Offer] = field(default_factory=list)
    keys: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    released: Ranges = field(default_factory=_ranges)
    settled: Ranges = field(default_factory=_ranges)
    spoilt: Ranges = field(default_factory=_ranges)
    safe: dict[Stream, int] = field(default_factory=dict)
    published: dict[tuple[Stream, int], tuple[int, str]] = field(default_factory=dict)
    checkpoint: str | None = None
    epochs: list[int] = field(default_factory=list)
    damaged: bool = False
    refused: set[int] = field(default_factory=set)

    def copy(self) -> BufferTruth:
        """Return the same, to be led on."""
        return replace(
            self,
            places={stream: dict(places) for stream, places in self.places.items()},
            offers=list(self.offers),
            keys=dict(self.keys),
            released=_copied(self.released),
            settled=_copied(self.settled),
            spoilt=_copied(self.spoilt),
            safe=dict(self.safe),
            published=dict(self.published),
            epochs=list(self.epochs),
            refused=set(self.refused),
        )

    @property
    def next_number(self) -> int:
        """Return a number that no event has."""
        offered = [number for offer in self.offers for number in offer.numbers]
        placed = [number for places in self.places.values() for number in places.values()]
        return 1 + max((*offered, *placed), default=-1)

    def take(self, mark: list[Any]) -> None:
        """Take a mark in.

        Raises:
            BrokenPromiseError: one number was given to two events.
        """
        word, *values = mark
        if word not in QUIET:
            getattr(self, f"take_{word}")(*values)

    def take_opened(self, epoch: int) -> None:
        """The buffer is open, with this numbering."""
        self.epochs.append(epoch)

    def take_offer(self, *offer: Any) -> None:
        """A group is about to be given."""
        self.offers.append(Offer(*offer))

    def take_full(self) -> None:
        """The group was refused: after a power cut it may be found in a log that ends badly."""
        self.refused.update(self.offers.pop().numbers)

    def take_accepted(self, given: list[list[Any]]) -> None:
        """The group was answered with these places."""
        offer = self.offers.pop()
        for number, (epoch, lane, sequence) in zip(offer.numbers, given, strict=True):
            places = self.places.setdefault((epoch, lane), {})
            if sequence in places:
                raise BrokenPromiseError(f"{epoch}/{lane}/{sequence} was given out twice")
            places[sequence] = number
            if offer.keyed:
                self.keys[number] = (epoch, lane, sequence)
        if offer.checkpoint is not None:
            self.checkpoint = offer.checkpoint

    def take_safe(self, place: list[Any]) -> None:
        """What was answered up to this place must be durable, window or not."""
        epoch, lane, sequence = place
        self.safe[epoch, lane] = sequence

    def take_published(self, frames: list[list[Any]]) -> None:
        """Frames were sent, or nearly."""
        for epoch, lane, first, span, digest in frames:
            self.published[(epoch, lane), first] = (span, digest)

    def take_receipt(self, frames: list[list[Any]]) -> None:
        """A receipt is about to be given to the buffer."""
        for epoch, lane, first, span, _ in frames:
            self.released[epoch, lane].add(first, first + span - 1)

    def take_settled(self, frames: list[list[Any]]) -> None:
        """The buffer has taken the receipt."""
        for epoch, lane, first, span, _ in frames:
            self.settled[epoch, lane].add(first, first + span - 1)
            self.published.pop(((epoch, lane), first), None)

    def take_flipped(self) -> None:
        """Something was read wrong, and may have been copied: only nothing wrong may be served."""
        self.take_damaging()
        for stream in self.places:
            self.released[stream].add(1, 2**40)

    def take_damaging(self) -> None:
        """The file is about to be spoilt: what was there may be gaps, small rows may be gone."""
        self.damaged = True
        for stream, places in self.places.items():
            self.spoilt[stream].add(1, max(places, default=1) + 20_000)
        self.settled.clear()
        self.published.clear()
        self.keys.clear()
        self.checkpoint = None
