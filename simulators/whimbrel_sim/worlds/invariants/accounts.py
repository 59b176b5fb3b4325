"""Accepted = committed + accounted: every accepted event is in a journal, or named in a gap."""

from __future__ import annotations

from collections import Counter

from whimbrel_sim.worlds.books import ACCEPTED, Books, Sender
from whimbrel_sim.worlds.invariants.journal import JournalAudit, Report
from whimbrel_sim.worlds.invariants.violation import Invariant

_SHOWN = 5


class Accounts:
    """Compares the books with the journals."""

    def __init__(self, books: Books, journal: JournalAudit, report: Report) -> None:
        self._books = books
        self._journal = journal
        self._report = report

    def open_items(self) -> dict[str, list[int]]:
        """Return accepted events, by sender, that are neither committed nor in a gap yet."""
        found = {}
        for name, sender in self._books.senders.items():
            missing = [n for n in sender.missing() if self.reason_of(sender, n) is None]
            if missing:
                found[name] = missing
        return found

    def gapped(self) -> Counter[int]:
        """Return how many accepted events are gapped and not committed, by reason."""
        reasons: Counter[int] = Counter()
        for sender in self._books.senders.values():
            for number in sender.missing():
                reason = self.reason_of(sender, number)
                if reason is not None:
                    reasons[reason] += 1
        return reasons

    def check(self) -> None:
        """Report what is missing; for when everything has drained."""
        for name, missing in self.open_items().items():
            shown = ", ".join(map(str, missing[:_SHOWN]))
            sender = self._books.senders[name]
            self._report(
                Invariant.KEPT,
                f"{len(missing)} of {sender.count(ACCEPTED)} accepted events of {name} are "
                f"missing ({shown})",
            )

    def reason_of(self, sender: Sender, number: int) -> int | None:
        """Return the reason of the gap in which an accepted event lies; None without one."""
        place = sender.place_of(number)
        if place is None:
            return None
        where, epoch, lane, sequence = place
        for first, count, reason in self._journal.gaps.get((where, epoch, lane), ()):
            if first <= sequence < first + count:
                return reason
        return None
