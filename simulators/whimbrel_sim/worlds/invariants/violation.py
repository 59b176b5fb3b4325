"""A promise that did not hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Invariant(Enum):
    """What must hold."""

    KEPT = "accepted = committed + accounted"
    WINDOW = "a crash takes what was answered in the last window, in lanes that have one"
    ONCE = "nothing twice"
    ORDER = "in-order lanes in order"
    RECEIPT = "receipts only for what the region keeps"
    FORGERY = "nothing committed that nobody offered"
    BOUNDED = "within its bounds"
    PROGRESS = "everything drains when faults end"
    STARVED = "no device starves"
    ALIVE = "no process ends by a defect"
    READABLE = "every frame of the journal can be read"
    SOUND = "files verify"
    COUNTED = "what rules took is counted, once"
    TIMELY = "no event later than its story allows"


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach, with when and what."""

    invariant: Invariant
    at_s: float
    text: str

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s: {self.invariant.name.lower()}: {self.text}"
