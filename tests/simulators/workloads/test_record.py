from random import Random

import pytest

from whimbrel_sim.workloads.distributions import Constant, Geometric, UniformInteger, Weighted
from whimbrel_sim.workloads.record import Drawn, Fields, Switch

SWITCH = Switch(
    "case",
    Weighted(("a", "b"), (3, 1)),
    {"a": Fields(x=UniformInteger(0, 15)), "b": Fields(x=UniformInteger(0, 1), y=Geometric(1))},
    always=Fields(z=UniformInteger(1, 2)),
)


def test_fields_side_by_side_add_their_entropies() -> None:
    assert Fields().entropy_bits == 0
    fields = Fields(a=UniformInteger(0, 7), b=Constant(1), c=Geometric(1))
    assert fields.entropy_bits == pytest.approx(3 + 0 + 2)
    assert fields.most_bits == fields.entropy_bits


def test_a_case_counts_as_often_as_it_comes() -> None:
    which = Weighted(("a", "b"), (3, 1)).entropy_bits
    assert SWITCH.entropy_bits == pytest.approx(1 + which + 0.75 * 4 + 0.25 * (1 + 2))
    assert SWITCH.most_bits == pytest.approx(1 + 1 + 4)
    assert SWITCH.mean("x") == pytest.approx(0.75 * 7.5 + 0.25 * 0.5)
    assert SWITCH.mean("y") == pytest.approx(0.25)
    assert SWITCH.mean("z") == pytest.approx(1.5)


def test_a_draw_fills_the_fields_of_its_case() -> None:
    rng = Random(3)
    for _ in range(100):
        drawn: Drawn = {}
        SWITCH.draw(rng, drawn)
        assert set(drawn) == ({"z", "case", "x"} if drawn["case"] == "a" else {*"zxy", "case"})


def test_a_case_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="must have each value"):
        Switch("case", Weighted(("a", "b"), (3, 1)), {"a": Fields()})
