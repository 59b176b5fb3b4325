"""Everything that is drawn for one event, as a tree: fields side by side, and cases.

The rule it keeps: a device draws its events from such a tree and has no chance beside it, and
the tree's entropy is exact by the chain rule, H(X, Y) = H(X) + H(Y | X) (Cover and Thomas,
"Elements of Information Theory", 2nd edition, theorem 2.2.1). It is the entropy of the events
where every draw shows in them; the tests check that for each kind of device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

from .distributions import Distribution

__all__ = ["Drawn", "Fields", "Record", "Switch"]

Drawn = dict[str, Any]
"""What a device drew last, by field; chains read the value before from it."""


class Record(Protocol):
    """A part of what is drawn for one event."""

    def draw(self, rng: Random, drawn: Drawn) -> None:
        """Draw the fields into ``drawn``; those of cases that did not come keep what they had."""
        ...

    @property
    def entropy_bits(self) -> float:
        """Bits per event."""
        ...

    @property
    def most_bits(self) -> float:
        """What an event can cost at most when its case is not known: see ``entropy``."""
        ...

    def mean(self, name: str) -> float:
        """Give the mean of a field over all events, 0 for those that do not draw it."""
        ...


class Fields:
    """Fields that are drawn independently, each event: entropies add.

    Args:
        fields: name and distribution of each.
    """

    def __init__(self, **fields: Distribution) -> None:
        self.fields: Mapping[str, Distribution] = fields
        self._items = tuple(fields.items())

    def draw(self, rng: Random, drawn: Drawn) -> None:
        """Draw each field."""
        for name, distribution in self._items:
            drawn[name] = distribution.draw(rng, drawn.get(name))

    @property
    def entropy_bits(self) -> float:
        """The sum over the fields."""
        return math.fsum(one.entropy_bits for one in self.fields.values())

    @property
    def most_bits(self) -> float:
        """The same: there is one case."""
        return self.entropy_bits

    def mean(self, name: str) -> float:
        """Give the mean of a field."""
        return self.fields[name].mean if name in self.fields else 0.0


class Switch:
    """A field that decides what else is drawn: H = H(which) + sum p(case) H(case).

    A chain may decide; inside the cases no field may depend on the one that decides, nor on how
    often its case comes (a chain inside a case steps once per event of that case).

    Args:
        name: of the field that decides.
        which: its distribution.
        cases: what is drawn for each of its values.
        always: what is drawn in any case, before it.
    """

    def __init__(
        self,
        name: str,
        which: Distribution,
        cases: Mapping[Any, Record],
        *,
        always: Record | None = None,
    ) -> None:
        self.name = name
        self.which = which
        self.cases = cases
        self.always: Record = always or Fields()
        chances = math.fsum(which.probability(case) for case in cases)
        if not math.isclose(chances, 1):
            raise ValueError(f"cases of {name} have {chances} of all chances: must have each value")

    def draw(self, rng: Random, drawn: Drawn) -> None:
        """Draw what decides, and its case."""
        self.always.draw(rng, drawn)
        value = drawn[self.name] = self.which.draw(rng, drawn.get(self.name))
        self.cases[value].draw(rng, drawn)

    @property
    def entropy_bits(self) -> float:
        """By the chain rule."""
        cases = self._weighted(lambda record: record.entropy_bits)
        return self.always.entropy_bits + self.which.entropy_bits + cases

    @property
    def most_bits(self) -> float:
        """As if each case were as likely and all had the entropy of the fullest."""
        fullest = max(record.most_bits for record in self.cases.values())
        return self.always.most_bits + math.log2(len(self.cases)) + fullest

    def mean(self, name: str) -> float:
        """Give the mean of a field over all events."""
        if name == self.name:
            return self.which.mean
        return self.always.mean(name) + self._weighted(lambda record: record.mean(name))

    def _weighted(self, part: Callable[[Record], float]) -> float:
        cases = self.cases.items()
        return math.fsum(self.which.probability(value) * part(record) for value, record in cases)
