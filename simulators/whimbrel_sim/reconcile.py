"""The reckoning: the senders' ledger against the region's journal, event by event.

Pure. Whoever reads the journal hands in its frames, opened; the answer is a value whose
:attr:`Reconciliation.agrees` says whether the promises "once" and "no silent loss" held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from whimbrel_protocol.lanes import GapReason, Order

from .ledger import Ledger, Outcome, Place

SHOWN: Final = 5
"""Examples named in a text; the whole lists are in the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedEvent:
    """One event as the journal has it.

    ``event_id`` is the id the sender put into the event's data, empty when there is none;
    ``position`` rises with the journal's order inside one partition.
    """

    event_id: str
    device: str
    place: Place
    position: tuple[int, int]
    order: Order = Order.IN_ORDER
    fork: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedGap:
    """Sequences that the journal holds as never to be delivered."""

    device: str
    epoch: int
    lane: str
    first: int
    span: int
    reason: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal, or a sink behind it, holds.

    Attributes:
        events: each event as often as it is there.
        gaps: sequences that are named as never to be delivered; a sink knows of none.
        frames: how many frames were read.
        unreadable: why frames or lines could not be decoded, one text each.
        redelivered: deliveries that a keyed sink repeated, as it may: same event, same place.
    """

    events: tuple[CommittedEvent, ...]
    gaps: tuple[CommittedGap, ...]
    frames: int
    unreadable: tuple[str, ...] = ()
    redelivered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What came of the comparison.

    Attributes:
        posted: events that senders posted.
        accepted: of these, how many an answer accepted.
        unsure: how many never got an answer.
        committed: different events of the ledger found in the journal.
        gapped: accepted events that the journal names as gaps, by reason.
        missing: ids that were accepted and are neither in the journal nor in a gap.
        twice: ids that are in the journal more than once.
        gapped_too: ids that are in the journal and also in a gap.
        refused_yet_there: ids that were refused and are in the journal all the same.
        strangers: events of the journal that no sender posted.
        misplaced: ids whose place in the journal holds another one's answer.
        out_of_order: ids that an in-order lane holds after a later one of the same sender.
        unreadable: why frames could not be decoded, one text each.
        redelivered: repetitions that the sink's guarantee allows.
    """

    posted: int
    accepted: int
    unsure: int
    committed: int
    gapped: Mapping[str, int]
    missing: tuple[str, ...]
    twice: tuple[str, ...]
    gapped_too: tuple[str, ...]
    refused_yet_there: tuple[str, ...]
    strangers: int
    misplaced: tuple[str, ...]
    out_of_order: tuple[str, ...]
    unreadable: tuple[str, ...]
    redelivered: int = 0

    @property
    def once(self) -> bool:
        """Whether every accepted event is there once, or named in a gap, and nothing else is."""
        wrong = (self.missing, self.twice, self.gapped_too, self.refused_yet_there, self.misplaced)
        return not any(wrong) and not self.strangers and not self.unreadable

    @property
    def mendable(self) -> bool:
        """Whether all that is wrong is that events are missing: they may still be on their way."""
        wrong = (self.twice, self.gapped_too, self.refused_yet_there, self.misplaced)
        return not (any(wrong) or self.strangers or self.unreadable or self.out_of_order)

    @property
    def agrees(self) -> bool:
        """Whether ledger and journal agree in everything, order included."""
        return self.once and not self.out_of_order

    @property
    def broken(self) -> dict[str, str]:
        """The promises that did not hold, in words, by the name of what shows it."""
        return {name: promise for name, promise in PROMISES.items() if getattr(self, name)}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return {
            "agrees": self.agrees,
            "broken": self.broken,
            "posted": self.posted,
            "accepted": self.accepted,
            "unsure": self.unsure,
            "committed": self.committed,
            "gapped": dict(self.gapped),
            "strangers": self.strangers,
            "redelivered": self.redelivered,
            **{name: list(getattr(self, name)) for name in _LISTS},
        }

    def __str__(self) -> str:
        parts = [f"{self.accepted} accepted", f"{self.committed} committed"]
        if self.unsure:
            parts.append(f"{self.unsure} unsure")
        parts += [f"{count} gapped ({reason})" for reason, count in self.gapped.items()]
        parts += [part for part in map(self._shown, _LISTS) if part]
        if self.strangers:
            parts.append(f"{self.strangers} that nobody posted")
        if self.redelivered:
            parts.append(f"{self.redelivered} deliveries repeated, as the sink may")
        return ("agrees: " if self.agrees else "DISAGREES: ") + ", ".join(parts)

    def _shown(self, name: str) -> str:
        ids: tuple[str, ...] = getattr(self, name)
        if not ids:
            return ""
        more = ", ..." if len(ids) > SHOWN else ""
        return f"{len(ids)} {name.replace('_', ' ')} ({', '.join(ids[:SHOWN])}{more})"


_LISTS: Final = (
    "missing", "twice", "gapped_too", "refused_yet_there", "misplaced", "out_of_order",
    "unreadable",
)  # fmt: skip


PROMISES: Final = {
    "missing": "accepted means kept: every accepted event arrives, or is named in a gap",
    "twice": "once: no event arrives a second time",
    "gapped_too": "no silent loss: what is named as lost does not arrive",
    "refused_yet_there": "what was refused does not arrive",
    "misplaced": "an event has the place that its answer named",
    "out_of_order": "a lane that is in order keeps its order",
    "strangers": "only what a sender posted arrives",
    "unreadable": "what was committed can be read",
}
"""What each kind of finding breaks."""


def reconcile(ledger: Ledger, contents: Contents) -> Reconciliation:
    """Compare a ledger with everything that a journal holds."""
    found = Counter(event.event_id for event in contents.events)
    strangers = sum(count for key, count in found.items() if ledger.find(key) is None)
    gaps = _Gaps(contents.gaps)
    gapped: Counter[str] = Counter()
    missing, gapped_too, refused = [], [], []
    for entry in ledger:
        reason = None if entry.place is None else gaps.reason_at(entry.place)
        there = entry.event_id in found
        if there and entry.outcome is Outcome.REFUSED:
            refused.append(entry.event_id)
        if there and reason is not None and reason != reason_name(GapReason.FORKED):
            gapped_too.append(entry.event_id)
        elif reason is not None:
            gapped[reason] += 1
        elif not there and entry.outcome is Outcome.ACCEPTED:
            missing.append(entry.event_id)
    return Reconciliation(
        posted=len(ledger),
        accepted=ledger.count(Outcome.ACCEPTED),
        unsure=ledger.count(Outcome.UNSURE),
        committed=sum(1 for key in found if ledger.find(key) is not None),
        gapped=dict(sorted(gapped.items())),
        missing=tuple(missing),
        twice=tuple(key for key, count in found.items() if count > 1 and ledger.find(key)),
        gapped_too=tuple(gapped_too),
        refused_yet_there=tuple(refused),
        strangers=strangers,
        misplaced=tuple(_misplaced(ledger, contents.events)),
        out_of_order=tuple(_out_of_order(ledger, contents.events)),
        unreadable=contents.unreadable,
        redelivered=contents.redelivered,
    )


class _Gaps:
    """Which sequences are gapped, and why."""

    def __init__(self, gaps: Iterable[CommittedGap]) -> None:
        self._by_stream: dict[tuple[int, str], list[CommittedGap]] = {}
        for gap in gaps:
            self._by_stream.setdefault((gap.epoch, gap.lane), []).append(gap)

    def reason_at(self, place: Place) -> str | None:
        """Return why a place is gapped, None when it is not."""
        for gap in self._by_stream.get((place.epoch, place.lane), ()):
            if gap.first <= place.sequence < gap.first + gap.span:
                return reason_name(gap.reason)
        return None


def reason_name(reason: int) -> str:
    """Return the name of a gap reason, its number when a newer program made it."""
    try:
        return GapReason(reason).name.lower()
    except ValueError:
        return str(reason)


def _misplaced(ledger: Ledger, events: Iterable[CommittedEvent]) -> Iterator[str]:
    """Yield events that stand at a place at which the agent had accepted another one."""
    owners: dict[Place, set[str]] = {}  # several: clones with the same entropy share numbers
    for entry in ledger:
        if entry.place is not None:
            owners.setdefault(entry.place, set()).add(entry.event_id)
    for event in events:
        named = owners.get(event.place)
        if named is not None and event.event_id not in named and not event.fork:
            yield event.event_id


def _out_of_order(ledger: Ledger, events: Iterable[CommittedEvent]) -> Iterator[str]:
    """Yield events of in-order lanes that come after a later one of the same sender.

    Forked frames are left out: each stands in an epoch of its own, and is marked as a fork.
    """
    newest: dict[tuple[str, str], int] = {}
    for event in sorted(events, key=lambda event: event.position):
        entry = ledger.find(event.event_id)
        if entry is None or event.fork or event.order is not Order.IN_ORDER:
            continue
        stream = (entry.sender, entry.lane)
        if entry.number <= newest.get(stream, 0):
            yield entry.event_id
        newest[stream] = max(newest.get(stream, 0), entry.number)
