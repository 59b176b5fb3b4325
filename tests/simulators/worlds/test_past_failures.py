"""Worlds that broke a promise once: each must hold from now on.

To add one: the scenario (a file beside this one, best a shrunk one), the seed, and what it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.worlds.running import run_named

SCENARIOS = Path(__file__).parent / "scenarios"
MOVED = "frames of a device's former address were never sent after it had moved"

PAST = [
    ("moving-store.toml", 2, MOVED),
    ("moving-store.toml", 9, MOVED),
    ("moved-unsent.toml", 9, MOVED),  # shrunk from the one above
]


@pytest.mark.parametrize(("scenario", "seed", "what"), PAST)
def test_it_holds_now(scenario: str, seed: int, what: str) -> None:
    name = str(SCENARIOS / scenario) if scenario.endswith(".toml") else scenario
    outcome = run_named(name, seed)
    assert outcome.broken == (), f"{what}; {outcome.replay}: {outcome.breaches}{outcome.traceback}"


def test_every_scenario_here_can_be_used() -> None:
    assert {path.name for path in SCENARIOS.iterdir()} >= {name for name, _, _ in PAST}
