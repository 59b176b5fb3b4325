"""Items to be sent, with deadlines: the mixed load of a store's device, and single classes.

The mixed load is what one device of a small store has: alerts at random, telemetry at a fixed pace,
statistics every five minutes. Paces jitter a little, as sensors do, and start at a random phase.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["MIXED", "Item", "Kind", "items_of"]


class Item(NamedTuple):
    """One thing to be sent: when it came, and when it must have arrived; seconds."""

    arrival_s: float
    deadline_s: float
    kind: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One class of items.

    Attributes:
        name: for tables.
        every_s: mean time between two.
        allowed_s: from arrival to deadline.
        steady: at a fixed pace with :data:`JITTER`; else at random (Poisson).
    """

    name: str
    every_s: float
    allowed_s: float
    steady: bool = True


JITTER: Final = 0.02
"""Of the pace, either way: a sensor's own clock and its radio."""

MIXED: Final = (
    Kind("alerts", 900.0, 5.0, steady=False),
    Kind("telemetry", 30.0, 300.0),
    Kind("statistics", 300.0, 3600.0),
)


def items_of(kinds: Sequence[Kind], *, seed: int, days: float) -> list[Item]:
    """Return the items of some days, in order of arrival."""
    source = random.Random(f"energy {seed}")
    end_s = days * 86_400
    items = [
        Item(at_s, at_s + kind.allowed_s, place)
        for place, kind in enumerate(kinds)
        for at_s in _times(kind, source, end_s)
    ]
    return sorted(items)


def _times(kind: Kind, source: random.Random, end_s: float) -> Iterator[float]:
    if not kind.steady:
        at_s = source.expovariate(1 / kind.every_s)
        while at_s < end_s:
            yield at_s
            at_s += source.expovariate(1 / kind.every_s)
        return
    phase_s = source.uniform(0, kind.every_s)
    number = 0
    while (base_s := phase_s + number * kind.every_s) < end_s:
        yield base_s + source.uniform(0, 2 * JITTER) * kind.every_s
        number += 1
