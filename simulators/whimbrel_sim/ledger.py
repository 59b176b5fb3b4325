"""The senders' own ledger: what they posted, and what they were told.

It is kept outside the product, so that the product cannot talk itself out of a loss: an event
enters before it is posted, and becomes accepted only by an answer that the sender has read. A
post without an answer leaves its events *unsure*: they may be in the journal or not, unless the
sender posts them again under the same idempotency key until it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """What a sender knows about one event."""

    UNSURE = "unsure"
    """Posted, no answer: in the journal once or not at all."""
    ACCEPTED = "accepted"
    """The intake said that it is kept: in the journal once, or accounted as a gap."""
    REFUSED = "refused"
    """The intake said no: not in the journal."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an agent says that it put an event: its epoch, lane and sequence."""

    epoch: int
    lane: str
    sequence: int


@dataclass(slots=True)
class Entry:
    """One event in the ledger.

    ``number`` counts the events of one sender from 1, in the order in which they were posted.
    ``place`` is what the answer said; an agent may move an event to a new epoch later.
    """

    event_id: str
    sender: str
    number: int
    lane: str
    outcome: Outcome = Outcome.UNSURE
    place: Place | None = None


def event_id(sender: str, number: int) -> str:
    """Return the id of a sender's event."""
    return f"{sender}-{number}"


class LedgerError(Exception):
    """An answer contradicts what the sender knows already: the product broke its word."""


class Ledger:
    """Every event of every sender, by its id."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, event_id: str) -> Entry | None:
        """Return the entry of an event, None when no sender made it."""
        return self._entries.get(event_id)

    def post(self, sender: str, lane: str) -> Entry:
        """Enter the next event of a sender; call before the bytes leave."""
        number = self._numbers[sender] = self._numbers.get(sender, 0) + 1
        entry = Entry(event_id(sender, number), sender, number, lane)
        self._entries[entry.event_id] = entry
        return entry

    def last_number(self, sender: str) -> int:
        """Return how many events a sender has entered."""
        return self._numbers.get(sender, 0)

    def accept(self, entries: Iterable[Entry], places: Iterable[Place]) -> None:
        """Note that an answer accepted these events at these places, in this order.

        Raises:
            LedgerError: one was accepted at another place before, or refused.
        """
        for entry, place in zip(entries, places, strict=True):
            if entry.outcome is Outcome.REFUSED or entry.place not in (None, place):
                raise LedgerError(
                    f"event {entry.event_id} was {entry.outcome.value} at {entry.place}, "
                    f"now the answer says accepted at {place}"
                )
            entry.outcome = Outcome.ACCEPTED
            entry.place = place

    def refuse(self, entries: Iterable[Entry]) -> None:
        """Note that an answer refused these events.

        Raises:
            LedgerError: one was accepted before.
        """
        for entry in entries:
            if entry.outcome is Outcome.ACCEPTED:
                raise LedgerError(f"event {entry.event_id} was accepted, now it is refused")
            entry.outcome = Outcome.REFUSED

    def count(self, outcome: Outcome) -> int:
        """Return how many events have this outcome."""
        return sum(1 for entry in self if entry.outcome is outcome)
