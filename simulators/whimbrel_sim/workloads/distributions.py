"""What a field is drawn from: one declaration for the generator and for its entropy.

A device has no other source of chance than declarations of this module, so what it draws and
what the entropy counts cannot drift apart. A value that follows from others (a price from an
article, a running total from counts) is drawn nowhere and so counts 0 bits.

Entropies are Shannon's, in bits: H = -sum p log2 p over the values' probabilities (C. E. Shannon,
"A Mathematical Theory of Communication", Bell System Technical Journal 27, 1948, section 6).
Uniform numbers of a ``random.Random`` have 53 bits; what that changes in a probability is under
1e-15 and is left out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, Final, Protocol

__all__ = ["Constant", "Distribution", "Geometric", "Markov", "UniformInteger", "Weighted"]

_TURNS: Final = 10_000
_SETTLED: Final = 1e-14
"""Bounds of the search for a chain's shares; with so few states it needs some hundred turns."""


class Distribution(Protocol):
    """Probabilities of the values of one field, given the value before where it has a memory."""

    def draw(self, rng: Random, before: Any) -> Any:
        """Draw a value; ``before`` is the one drawn last, None at first."""
        ...

    def probability(self, value: Any) -> float:
        """Give how often a value comes in the long run; 0 for one that never does."""
        ...

    @property
    def entropy_bits(self) -> float:
        """Bits that a draw adds to what is known, given all draws before it."""
        ...

    @property
    def mean(self) -> float:
        """The long-run mean of the values, which must be numbers."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value: 0 bits."""

    value: Any

    def draw(self, rng: Random, before: Any) -> Any:  # noqa: ARG002 - of the protocol
        """Give the value."""
        return self.value

    def probability(self, value: Any) -> float:
        """Give 1 for the value, 0 for others."""
        return float(value == self.value)

    @property
    def entropy_bits(self) -> float:
        """No information."""
        return 0.0

    @property
    def mean(self) -> float:
        """The value."""
        return float(self.value)


@dataclass(frozen=True, slots=True)
class UniformInteger:
    """Whole numbers from ``low`` to ``high``, both included, each as likely: H = log2 n."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError(f"high is {self.high}: must be at least low, {self.low}")

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.high - self.low + 1

    def draw(self, rng: Random, before: Any) -> int:  # noqa: ARG002 - of the protocol
        """Draw a number."""
        return self.low + int(rng.random() * self.size)

    def of_bits(self, bits: int) -> int:
        """Give the number that random bits mean; exact where ``size`` is a power of two."""
        return self.low + bits % self.size

    def probability(self, value: Any) -> float:
        """Give 1/n for each of the n numbers."""
        return 1 / self.size if self.low <= value <= self.high else 0.0

    @property
    def entropy_bits(self) -> float:
        """H = log2 n."""
        return math.log2(self.size)

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2


@dataclass(frozen=True, slots=True)
class Weighted:
    """Some different values, each with its weight: H = -sum p log2 p.

    Raises:
        ValueError: no values, equal values (their entropy would be counted too high), another
            number of weights, or a weight that is not positive.
    """

    values: Sequence[Any]
    weights: Sequence[float]
    _bounds: list[float] = field(init=False, repr=False, compare=False)
    _last: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.values or len(self.values) != len(self.weights):
            raise ValueError(f"{len(self.values)} values, {len(self.weights)} weights: must pair")
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"values are {self.values!r}: must all differ")
        if min(self.weights) <= 0:
            raise ValueError(f"weights are {self.weights!r}: must all be over 0")
        total = math.fsum(self.weights)
        object.__setattr__(self, "_bounds", [at / total for at in accumulate(self.weights)])
        object.__setattr__(self, "_last", len(self.values) - 1)

    @classmethod
    def falling(cls, count: int, power: float) -> Weighted:
        """Places 0 to ``count - 1``, the first most often: weight of place n is (n+1)^-power.

        That is Zipf's law, which sales by article roughly follow.
        """
        return cls(range(count), [(place + 1) ** -power for place in range(count)])

    def draw(self, rng: Random, before: Any) -> Any:  # noqa: ARG002 - of the protocol
        """Draw a value."""
        at = bisect_right(self._bounds, rng.random())
        return self.values[min(at, self._last)]

    def probabilities(self) -> list[float]:
        """Give the probabilities in the order of the values."""
        total = math.fsum(self.weights)
        return [weight / total for weight in self.weights]

    def probability(self, value: Any) -> float:
        """Give the value's weight as a share of all."""
        shares = zip(self.values, self.probabilities(), strict=True)
        return next((share for one, share in shares if one == value), 0.0)

    @property
    def entropy_bits(self) -> float:
        """H = -sum p log2 p."""
        return -math.fsum(share * math.log2(share) for share in self.probabilities())

    @property
    def mean(self) -> float:
        """The sum of p times value."""
        pairs = zip(self.values, self.probabilities(), strict=True)
        return math.fsum(share * value for value, share in pairs)


@dataclass(frozen=True, slots=True)
class Geometric:
    """An exponential wait rounded down: ``low`` and upwards, ``excess`` above it in the mean.

    The floor of an exponential variable is geometric: with success probability p = 1/(1 + excess)
    the excess k has probability p (1-p)^k, and H = (-p log2 p - (1-p) log2(1-p)) / p (T. M. Cover,
    J. A. Thomas, "Elements of Information Theory", 2nd edition, problem 2.1).
    """

    excess: float
    low: int = 0
    _scale: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.excess <= 0:
            raise ValueError(f"excess is {self.excess}: must be over 0")
        object.__setattr__(self, "_scale", 1 / math.log(self.excess / (1 + self.excess)))

    def draw(self, rng: Random, before: Any) -> int:  # noqa: ARG002 - of the protocol
        """Draw a number: the logarithm of a uniform one, inverting the distribution."""
        return self.low + int(math.log(1.0 - rng.random()) * self._scale)

    def probability(self, value: Any) -> float:
        """Give p (1-p)^k."""
        success = 1 / (1 + self.excess)
        return float(success * (1 - success) ** (value - self.low)) if value >= self.low else 0.0

    @property
    def entropy_bits(self) -> float:
        """H = (-p log2 p - (1-p) log2(1-p)) / p."""
        success = 1 / (1 + self.excess)
        failure = 1 - success
        return -(success * math.log2(success) + failure * math.log2(failure)) / success

    @property
    def mean(self) -> float:
        """The lowest value and the excess."""
        return self.low + self.excess


@dataclass(frozen=True, slots=True)
class Markov:
    """A chain: how likely each value is depends on the value before.

    The first value is drawn with the chain's long-run shares, so every later one has them too,
    and the entropy of a step is exactly H = sum over states s of share(s) H(row of s) (the
    entropy rate of a stationary chain: Cover and Thomas, theorem 4.2.4). Every state must be
    reached from every other.
    """

    rows: Mapping[Any, Weighted]
    _start: Weighted = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for state, row in self.rows.items():
            if not set(row.values) <= set(self.rows):
                raise ValueError(f"row of {state!r} leads to {row.values!r}: must all have rows")
        shares = _long_run_shares(self.rows)
        object.__setattr__(self, "_start", Weighted(list(shares), list(shares.values())))

    def draw(self, rng: Random, before: Any) -> Any:
        """Draw the value after ``before``, or a first one."""
        return (self._start if before is None else self.rows[before]).draw(rng, None)

    def probability(self, value: Any) -> float:
        """Give the value's long-run share."""
        return self._start.probability(value)

    @property
    def entropy_bits(self) -> float:
        """The entropy rate."""
        rows = self.rows.items()
        return math.fsum(self.probability(state) * row.entropy_bits for state, row in rows)

    @property
    def mean(self) -> float:
        """The mean over the long-run shares."""
        return self._start.mean


def _long_run_shares(rows: Mapping[Any, Weighted]) -> dict[Any, float]:
    """Find the shares that a step leaves unchanged.

    By repeated steps of the lazy chain, which stays where it is half of the time: it has the same
    shares, and settles where the chain itself goes to and fro for ever.
    """
    shares = dict.fromkeys(rows, 1 / len(rows))
    for _ in range(_TURNS):
        after = {state: share / 2 for state, share in shares.items()}
        for state, share in shares.items():
            row = rows[state]
            for value, part in zip(row.values, row.probabilities(), strict=True):
                after[value] += share * part / 2
        moved = _total(abs(after[state] - shares[state]) for state in rows)
        shares = after
        if moved < _SETTLED:
            break
    return shares


def _total(numbers: Iterable[float]) -> float:
    return math.fsum(numbers)
