"""Worlds that broke a promise once: each must hold from now on.

To add one: the scenario (a file beside this one, best a shrunk one), the seed, and what it was.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.worlds.running import run_many

SCENARIOS = Path(__file__).parent / "scenarios"
MOVED = "frames of a device's former address were never sent after it had moved"

RESTORED = "a restored region was not asked about what it had taken at a device's former address"
AGE = "frames received while the region's clock said 1970 were deleted as too old when it was right"
ROOM = "a full or failing disk beside the buffer came out as the system's raw error"
TWICE = (
    "a receipt lost before the last one looked like a fork, and a copied card's backlog came twice"
)
RESTORED = "the audit held a restored journal to an order of epochs that no region can know"

PAST = [
    ("cloned-backlog.toml", 21, TWICE),
    ("cloned-backlog.toml", 22, TWICE),
    ("late-epochs.toml", 2, RESTORED),
    ("late-epochs.toml", 6, RESTORED),
    ("moving-store.toml", 2, MOVED),
    ("moving-store.toml", 9, MOVED),
    ("moved-unsent.toml", 9, MOVED),  # shrunk from the one above
    ("moved-and-restored.toml", 4, RESTORED),
    ("moving-region", 2, "nothing was left of what a device owed to a region that it had left"),
    ("crowded.toml", 19, "a clone's frame left a hole that was wanted from the original for ever"),
    ("smoke", 61, "a failing read at the start of an agent came out as the system's raw error"),
    ("smoke", 64, "an accept in the moment of a stop came out as SQLite's raw error"),
    ("smoke", 227, "an accept after an agent's end came out as SQLite's raw error"),
    ("smoke", 290, "the audit judged receipts by a journal that it could not read"),
    ("smoke", 322, ROOM),  # a new numbering
    ("smoke", 37940, "a failing disk while a buffer was salvaged came out as SQLite's raw error"),
    ("smoke", 487, ROOM),  # the log's room at a start
    ("smoke", 687, ROOM),
    ("smoke", 697, AGE),
    ("smoke", 886, AGE),
    ("smoke", 3547, "a frame whose receipt did not fit on a full card waited a quarter of an hour"),
]


@pytest.mark.parametrize(("scenario", "seed", "what"), PAST)
def test_it_holds_now(scenario: str, seed: int, what: str) -> None:
    name = str(SCENARIOS / scenario) if scenario.endswith(".toml") else scenario
    (outcome,) = run_many(name, [seed])
    assert outcome.broken == (), f"{what}; {outcome.replay}: {outcome.breaches}{outcome.traceback}"


def test_every_scenario_here_can_be_used() -> None:
    files = {name for name, _, _ in PAST if name.endswith(".toml")}
    assert {path.name for path in SCENARIOS.iterdir()} >= files
