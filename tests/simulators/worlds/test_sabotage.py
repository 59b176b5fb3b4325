"""Every invariant finds a bug that was planted for it, within a stated number of seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.uplink.session import Session
from whimbrel_aggregator.ingest import verdict
from whimbrel_sim.patching import applied
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.sabotage import SABOTAGES, WorldSabotage
from worlds.virtual import run_world

each_fault = pytest.mark.parametrize("fault", SABOTAGES, ids=lambda fault: fault.name)
STORIES = {fault.story: fault.name for fault in SABOTAGES}


def broken_in(fault: WorldSabotage, seed: int, folder: Path) -> set[Invariant]:
    world = run_world(fault.story, seed, folder / str(seed))
    return {violation.invariant for violation in world.audit.violations}


@each_fault
def test_a_planted_fault_is_found(fault: WorldSabotage, tmp_path: Path) -> None:
    with applied(fault.apply):
        seeds = range(1, fault.seeds + 1)
        found = (seed for seed in seeds if fault.breaks <= broken_in(fault, seed, tmp_path))
        assert next(found, None) is not None, f"none of {fault.seeds} seeds finds it"


@pytest.mark.parametrize("story", STORIES, ids=STORIES.get)
def test_the_same_worlds_are_sound_without_it(story: str, tmp_path: Path) -> None:
    assert run_world(story, 1, tmp_path).audit.violations == []


def test_every_invariant_has_a_fault_that_breaks_it() -> None:
    assert frozenset[Invariant]().union(*(fault.breaks for fault in SABOTAGES)) == set(Invariant)


@each_fault
def test_a_fault_is_gone_after_its_test(fault: WorldSabotage) -> None:
    before = (dict(vars(Session)), dict(vars(verdict)))
    with applied(fault.apply):
        pass
    assert (dict(vars(Session)), dict(vars(verdict))) == before
