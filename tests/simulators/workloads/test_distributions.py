import math
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from whimbrel_sim.workloads.distributions import (
    Constant,
    Distribution,
    Geometric,
    Markov,
    UniformInteger,
    Weighted,
)

TO_AND_FRO = Markov({"on": Weighted(("off",), (1,)), "off": Weighted(("on",), (1,))})
TWO_STATES = Markov({False: Weighted((False, True), (9, 1)), True: Weighted((False, True), (3, 7))})
EACH: list[Distribution] = [
    Constant(7),
    UniformInteger(-20, 20),
    Weighted((0, 1, 2, 5), (5, 3, 1, 1)),
    Weighted.falling(50, 0.8),
    Geometric(0.3),
    Geometric(excess=40, low=5),
    TO_AND_FRO,
    TWO_STATES,
]


def binary_bits(chance: float) -> float:
    return -chance * math.log2(chance) - (1 - chance) * math.log2(1 - chance)


def drawn(distribution: Distribution, count: int, seed: int = 1) -> list[object]:
    rng = Random(seed)
    values: list[object] = []
    for _ in range(count):
        values.append(distribution.draw(rng, values[-1] if values else None))
    return values


def test_entropies_are_those_of_the_books() -> None:
    assert Constant("x").entropy_bits == 0
    assert UniformInteger(1, 32).entropy_bits == 5
    assert Weighted("abc", (2, 1, 1)).entropy_bits == pytest.approx(1.5)
    assert Weighted((False, True), (89, 11)).entropy_bits == pytest.approx(binary_bits(0.11))
    assert Geometric(1).entropy_bits == pytest.approx(2)  # a fair coin: Cover and Thomas, 2.1
    assert Geometric(excess=1, low=9).entropy_bits == pytest.approx(2)


def test_a_geometric_entropy_is_the_sum_over_its_values() -> None:
    wait = Geometric(excess=12, low=3)
    chances = [wait.probability(value) for value in range(3, 1_000)]
    assert sum(chances) == pytest.approx(1)
    assert -sum(p * math.log2(p) for p in chances) == pytest.approx(wait.entropy_bits)


def test_a_chain_counts_its_rows_by_their_long_run_shares() -> None:
    # shares of a chain of two states with chances a to leave and b to come back: b and a
    # over a + b
    assert TWO_STATES.probability(False) == pytest.approx(0.75)
    bits = 0.75 * binary_bits(0.1) + 0.25 * binary_bits(0.3)
    assert TWO_STATES.entropy_bits == pytest.approx(bits)
    assert TWO_STATES.mean == pytest.approx(0.25)


def test_a_chain_that_goes_to_and_fro_says_nothing() -> None:
    assert TO_AND_FRO.entropy_bits == 0
    assert TO_AND_FRO.probability("on") == pytest.approx(0.5)


@pytest.mark.parametrize("distribution", EACH, ids=repr)
def test_draws_have_the_declared_chances_and_entropy(distribution: Distribution) -> None:
    count = 60_000
    values = drawn(distribution, count)
    pairs = Counter(pairwise(values))
    before = Counter(values[:-1])
    chain = isinstance(distribution, Markov)
    if chain:  # given the value before
        bits = sum(n / count * math.log2(before[one] / n) for (one, _), n in pairs.items())
    else:
        bits = sum(n / count * math.log2(count / n) for n in Counter(values).values())
    # the estimate from samples errs by about (values - 1) / (2 n ln 2), and by chance
    assert bits == pytest.approx(distribution.entropy_bits, abs=0.02)
    for value, n in Counter(values).most_common(5):
        chance = distribution.probability(value)
        assert n / count == pytest.approx(
            chance, abs=6 * math.sqrt(chance / count) * (3 if chain else 1)
        )


@pytest.mark.parametrize("distribution", [one for one in EACH if one is not TO_AND_FRO], ids=repr)
def test_draws_have_the_declared_mean(distribution: Distribution) -> None:
    values = [float(value) for value in drawn(distribution, 60_000)]  # type: ignore[arg-type]
    spread = max(values) - min(values)
    assert sum(values) / len(values) == pytest.approx(distribution.mean, abs=0.02 * spread + 1e-9)


def test_values_that_never_come_have_no_chance() -> None:
    assert UniformInteger(0, 3).probability(4) == 0
    assert Weighted("ab", (1, 1)).probability("c") == 0
    assert Geometric(3, low=2).probability(1) == 0
    assert Constant(1).probability(2) == 0


def test_a_declaration_that_would_lie_is_refused() -> None:
    with pytest.raises(ValueError, match="must all differ"):
        Weighted((1, 1), (1, 1))
    with pytest.raises(ValueError, match="over 0"):
        Weighted((1, 2), (1, 0))
    with pytest.raises(ValueError, match="must pair"):
        Weighted((1, 2), (1,))
    with pytest.raises(ValueError, match="at least low"):
        UniformInteger(3, 2)
    with pytest.raises(ValueError, match="over 0"):
        Geometric(0)
    with pytest.raises(ValueError, match="must all have rows"):
        Markov({"a": Weighted(("a", "b"), (1, 1))})


def test_bits_of_a_power_of_two_give_each_number_as_often() -> None:
    level = UniformInteger(10, 17)
    assert Counter(map(level.of_bits, range(64))) == dict.fromkeys(range(10, 18), 8)
