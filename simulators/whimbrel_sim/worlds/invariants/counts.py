"""What edge rules took must be told: the counts of what came add up to what was accepted.

A rule makes one event of many, which says how many raw ones it stands for (``edgecount``). So a
sender whose events a rule takes can be checked by the sum alone, at any moment against double
counting, and when everything has drained against loss.

Exact is this where every answer is known: an event whose answer never came may be in the sum or
not. Where the buffer dropped or thinned anything of the device, a count may have gone with it, and
the sum is only not more.
"""

from __future__ import annotations

from whimbrel_sim.worlds.books import ACCEPTED, REFUSED, Books, Sender
from whimbrel_sim.worlds.invariants.journal import JournalAudit, Report
from whimbrel_sim.worlds.invariants.violation import Invariant


class Counts:
    """Compares the books of ruled senders with the sums of what the journals have."""

    def __init__(self, books: Books, journal: JournalAudit, report: Report) -> None:
        self._books = books
        self._journal = journal
        self._report = report

    def open_senders(self) -> list[str]:
        """Name the senders of which something is not counted yet."""
        return [one.name for one in self._ruled() if one.counted < self._least(one)]

    def check(self) -> None:
        """Report sums that are wrong; for when everything has drained."""
        for sender in self._ruled():
            least, most = self._least(sender), sender.offered - sender.count(REFUSED)
            if not least <= sender.counted <= most:
                wanted = f"{least}" if least == most else f"{least} to {most}"
                self._report(
                    Invariant.COUNTED,
                    f"the events of {sender.name} stand for {sender.counted} accepted ones, "
                    f"there are {wanted}",
                )

    def _ruled(self) -> list[Sender]:
        """Ruled senders, but for devices of which a copy ran: what rules held was copied too."""
        copied = self._journal.copied
        return [
            one for one in self._books.senders.values() if one.ruled and one.where not in copied
        ]

    def _least(self, sender: Sender) -> int:
        if any(where == sender.where for where, _, _ in self._journal.gaps):
            return 0
        return sender.count(ACCEPTED)
