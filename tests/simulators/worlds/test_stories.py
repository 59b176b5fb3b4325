"""Every story that is told in seconds, and with them every fault there is, at one seed each."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.worlds.faults import KINDS
from whimbrel_sim.worlds.running import run_many
from whimbrel_sim.worlds.scenario import load_scenario, names

LONG = {"black-friday", "power-strip", "virtual-day", "week-offline"}
"""Ten seconds of a processor and more; ``scripts/soak worlds --scenario NAME`` runs them."""

SHORT = sorted(set(names()) - LONG)
RECORDED = str(Path(__file__).with_name("recorded.toml"))
SEED = 7


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SHORT)
def test_every_promise_holds_in_it(name: str) -> None:
    (outcome,) = run_many(name, [SEED])
    assert not outcome.failed, (outcome.replay, outcome.breaches, outcome.traceback)


def test_together_they_have_every_fault() -> None:
    used = {line.kind for name in (*SHORT, RECORDED) for line in load_scenario(name).faults}
    assert set(KINDS) - used == set()
