"""A short memory of automatic decisions: when, who, what, why, from which inputs. Pure.

Only changes are kept: a decider that says the same again costs one comparison. Every decider has a
ring of its own, so that one that changes its mind a hundred times a second does not push out why the
power mode changed an hour ago. Nothing of it is on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["KEPT", "Decided", "Decider", "DecisionJournal", "Reasoned"]

KEPT: Final = 16
"""Decisions of one decider. With the few deciders that there are, some 60 kB at most."""

Decider = str
"""Who decides: a name of ``replaying.DECIDERS``."""


class Reasoned(Protocol):
    """A decision: a value that says why."""

    @property
    def reason(self) -> str:
        """Why, in words."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision.

    Attributes:
        by: the decider.
        mono_s: when, on the monotonic clock.
        decision: what was decided, with its reason.
        inputs: all that the pure function looked at; the same inputs give the same decision.
    """

    by: Decider
    mono_s: float
    decision: Reasoned
    inputs: object


class DecisionJournal:
    """Keeps the last changes of each decider."""

    def __init__(self) -> None:
        self._rings: dict[Decider, deque[Decided]] = {}
        self._said: dict[Decider, Hashable] = {}

    def note(
        self, by: Decider, decision: Reasoned, inputs: object, now_s: float, said: Hashable = None
    ) -> None:
        """Keep a decision if it is another one than the decider's last.

        Args:
            by: the decider.
            decision: what it decided.
            inputs: from what; not to be changed afterwards.
            now_s: monotonic now.
            said: what makes it another one; None: its reason.
        """
        said = decision.reason if said is None else said
        if self._said.get(by) == said:
            return
        self._said[by] = said
        ring = self._rings.get(by)
        if ring is None:
            ring = self._rings[by] = deque(maxlen=KEPT)
        ring.append(Decided(by, now_s, decision, inputs))

    def last(self) -> list[Decided]:
        """Return what is kept, oldest first."""
        # copies, since the database's thread notes what it decides
        rings = [list(ring) for ring in list(self._rings.values())]
        return sorted((one for ring in rings for one in ring), key=_when)


def _when(one: Decided) -> float:
    return one.mono_s
