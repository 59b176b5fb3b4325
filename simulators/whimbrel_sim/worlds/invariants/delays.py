"""How late events were, from being offered to the region's receipt, against what a story expects.

A receipt follows the commit and is seen as it leaves the region, so no clock of the product has a
part in it. What was receipted by nobody (the region died after the commit, and the agent learnt
of it by asking) is not judged by its delay, only by being there.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from whimbrel_sim.worlds.books import Books, Sender
from whimbrel_sim.worlds.invariants.journal import JournalAudit, Report
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.scenario import Expectation

Frame = tuple[str, bytes]
"""Device and the first bytes of a frame's digest."""


class Delays:
    """Measures the events that a story expects something of.

    Args:
        books: the senders.
        journal: tells what arrived.
        expects: what is expected.
        report: takes breaches.
        now_s: the world's time.

    Attributes:
        found: the delays of the events of each expectation, in seconds.
    """

    def __init__(
        self,
        books: Books,
        journal: JournalAudit,
        expects: Sequence[Expectation],
        report: Report,
        now_s: Callable[[], float],
    ) -> None:
        self._books = books
        self._expects = tuple(expects)
        self._report = report
        self._now_s = now_s
        self._said_s: dict[Frame, float] = {}
        self._unsaid: dict[Frame, list[tuple[Sender, int]]] = {}
        self.found = tuple(array("d") for _ in self._expects)
        if self._expects:
            journal.arrived = self._arrived

    def heard(self, where: str, digest: bytes) -> None:
        """Note that a receipt names a frame."""
        frame = (where, digest)
        if not self._expects or frame in self._said_s:
            return
        self._said_s[frame] = now_s = self._now_s()
        for sender, number in self._unsaid.pop(frame, ()):
            self._measure(sender, number, now_s)

    def _arrived(self, sender: Sender, number: int, where: str, digest: bytes) -> None:
        said_s = self._said_s.get((where, digest))
        if said_s is None:
            self._unsaid.setdefault((where, digest), []).append((sender, number))
        else:
            self._measure(sender, number, said_s)

    def _measure(self, sender: Sender, number: int, said_s: float) -> None:
        offered_s = sender.offered_s(number)
        for delays, expected in zip(self.found, self._expects, strict=True):
            if _concerns(expected, sender, offered_s):
                delays.append(said_s - offered_s)

    def check(self) -> None:
        """Report what was late, or never came; for when everything has drained."""
        for delays, expected in zip(self.found, self._expects, strict=True):
            late = [delay_s for delay_s in delays if delay_s > expected.within_s]
            never = sum(
                _concerns(expected, sender, sender.offered_s(number))
                for sender in self._books.senders.values()
                for number in sender.missing()
            )
            if late or never:
                whose = f" of {expected.on}" if expected.on else ""
                worst = f", the latest after {max(late):.3f} s" if late else ""
                self._report(
                    Invariant.TIMELY,
                    f"{len(late)} of {len(delays)} {expected.lane} events{whose} offered from "
                    f"{expected.from_s:g} s on came after more than {expected.within_s:g} s{worst}; "
                    f"{never} never came",
                )


def _concerns(expected: Expectation, sender: Sender, offered_s: float) -> bool:
    return (
        sender.lane == expected.lane
        and expected.from_s <= offered_s < expected.until_s
        and (not expected.on or sender.name.startswith(f"{expected.on}/"))
    )
