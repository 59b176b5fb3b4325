from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_agent.buffer.database import Database
from whimbrel_sim.worlds.faults import KINDS
from whimbrel_sim.worlds.running import run_world
from whimbrel_sim.worlds.scenario import Scenario, load_scenario, parse
from whimbrel_sim.worlds.shrinking import NothingToShrinkError, shrink, smallest

SEED = 6
"""One in which a kill falls between an answer and its commit."""

SHORT = str(Path(__file__).parent / "scenarios" / "short.toml")


def smoke() -> Scenario:
    """The smoke scenario as far as this process can run it: without recorded cards."""
    whole = load_scenario("smoke")
    return replace(whole, faults=tuple(f for f in whole.faults if not KINDS[f.kind].recorded))


@pytest.fixture
def lazy_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the agent answer before three of four commits: a kill then loses accepted events."""

    @contextmanager
    def transaction(database: Database, **_: object) -> Iterator[sqlite3.Connection]:
        if not database.connection.in_transaction:
            database.connection.execute("BEGIN IMMEDIATE")
        yield database.connection
        turn = database.__dict__["planted"] = database.__dict__.get("planted", 0) + 1
        if turn % 4 == 0:
            database.connection.execute("COMMIT")

    checkpoint = Database.checkpoint

    def checkpoint_after_commit(database: Database, mode: str = "PASSIVE") -> None:
        if database.connection.in_transaction:
            database.connection.execute("COMMIT")
        checkpoint(database, mode)

    monkeypatch.setattr(Database, "transaction", transaction)
    monkeypatch.setattr(Database, "checkpoint", checkpoint_after_commit)


@pytest.mark.slow
@pytest.mark.usefixtures("lazy_commits")
def test_a_failing_smoke_world_shrinks_to_few_faults_and_still_fails() -> None:
    said: list[str] = []
    shrunk = shrink(smoke(), SEED, max_runs=60, say=said.append)
    assert shrunk.what == "kept"
    assert shrunk.before > 15
    assert len(shrunk.scenario.faults) <= 4
    kinds = {one.kind for one in shrunk.scenario.faults}
    assert kinds & {"machine.kill", "machine.fuse"}  # only what kills can lose anything
    assert (shrunk.scenario.fleet.stores, len(shrunk.scenario.load)) == (1, 1)
    assert len(said) == shrunk.runs - 1

    text = shrunk.to_toml()
    assert text.startswith(f"# Shrunk from smoke, seed {SEED} ")
    again = run_world(parse("small", text), SEED)
    assert again.broken == ("kept",)
    assert again.digest == shrunk.outcome.digest


@pytest.mark.usefixtures("lazy_commits")
def test_the_number_of_runs_is_bounded() -> None:
    shrunk = shrink(smoke(), SEED, max_runs=3)
    assert shrunk.runs == 3
    assert shrunk.outcome.broken == ("kept",)


def test_a_world_that_does_not_fail_is_not_shrunk() -> None:
    with pytest.raises(NothingToShrinkError, match="short with seed 1 does not fail"):
        shrink(load_scenario(SHORT), 1)


@pytest.mark.parametrize("needed", [(), (3,), (0, 9), (1, 2, 3), tuple(range(10))])
def test_the_smallest_part_has_only_what_is_needed(needed: tuple[int, ...]) -> None:
    found = smallest(range(10), lambda part: set(needed) <= set(part))
    assert tuple(found) == needed
