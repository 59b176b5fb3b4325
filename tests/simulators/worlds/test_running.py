from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_sim.worlds import running
from whimbrel_sim.worlds.loop import StalledError
from whimbrel_sim.worlds.machine import ProcessDeadError
from whimbrel_sim.worlds.running import run_many, run_named, run_world
from whimbrel_sim.worlds.scenario import FaultLine, ScenarioError, load_scenario
from whimbrel_sim.worlds.world import World

SCENARIOS = Path(__file__).parent / "scenarios"
SHORT = str(SCENARIOS / "short.toml")
CROWDED = str(SCENARIOS / "crowded.toml")


def test_a_world_becomes_an_outcome() -> None:
    outcome = run_named(SHORT, 3)
    assert not outcome.failed
    assert outcome.scenario == SHORT
    assert outcome.counts["accepted"] == outcome.counts["committed"] > 0
    assert outcome.counts["kills"] == outcome.faults["machine.kill"]
    assert outcome.device_s == outcome.virtual_s >= 60
    assert outcome.cpu_s > 0


def test_a_seed_gives_the_same_digest_twice_in_a_row() -> None:
    assert run_named("smoke", 5).digest == run_named("smoke", 5).digest


def test_another_seed_gives_another_digest() -> None:
    assert run_named(SHORT, 1).digest != run_named(SHORT, 2).digest


def test_a_trace_changes_nothing() -> None:
    lines: list[str] = []
    assert run_named(SHORT, 1, lines.append).digest == run_named(SHORT, 1).digest
    assert len(lines) > 20


def test_a_dead_process_error_in_a_group_is_an_outcome_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def die(world: World) -> None:
        raise BaseExceptionGroup("a task group", [ProcessDeadError()])

    monkeypatch.setattr(World, "run", die)
    assert run_named(SHORT, 1).broken == ("ProcessDeadError",)


def test_a_keyboard_interrupt_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupt(world: World) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(World, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_named(SHORT, 1)


def test_no_fuse_burns_after_the_mending() -> None:
    fuse = FaultLine(kind="machine.fuse", on="store-1-1/till-1", at_s=59.999, more={"calls": 2})
    outcome = run_world(replace(load_scenario(SHORT), faults=(fuse,)), 1)
    assert outcome.faults == {"machine.fuse": 1}
    assert (outcome.counts["kills"], outcome.broken) == (0, ())


@pytest.mark.parametrize("scenario", ["smoke", CROWDED], ids=["smoke", "crowded"])
def test_a_fresh_process_with_another_hash_seed_gives_the_same_digest(scenario: str) -> None:
    program = (
        "import sys; from whimbrel_sim.worlds.running import run_named\n"
        "print(run_named(sys.argv[1], 11).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program, scenario],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "20")
    }
    assert digests == {run_named(scenario, 11).digest}


def test_several_processes_give_what_one_gives() -> None:
    alone = {one.seed: one.digest for one in run_many(SHORT, range(1, 6))}
    assert {one.seed: one.digest for one in run_many(SHORT, range(1, 6), jobs=2)} == alone


def test_many_runs_can_be_stopped_early() -> None:
    outcomes = run_many(SHORT, range(1, 10_000), jobs=2)
    assert next(outcomes).digest
    outcomes.close()  # type: ignore[attr-defined]


def test_an_unknown_scenario_is_said_before_anything_runs() -> None:
    with pytest.raises(ScenarioError, match="'nope' is not known"):
        run_many("nope", range(3))


def test_an_error_of_a_world_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stall(world: World) -> None:
        world.timeline.tell("world", "stalls")
        raise StalledError("every task waits")

    monkeypatch.setattr(World, "run", stall)
    outcome = run_named(SHORT, 1)
    assert outcome.failed
    assert outcome.broken == ("StalledError",)
    assert "every task waits" in outcome.traceback
    assert outcome.digest


def test_an_error_of_a_callback_ends_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(world: World) -> None:
        raise ZeroDivisionError

    run = World.run

    async def run_badly(world: World) -> None:
        world.loop.call_later(20, strike, world)
        await run(world)

    monkeypatch.setattr(World, "run", run_badly)
    outcome = run_named(SHORT, 1)
    assert outcome.broken == ("ZeroDivisionError",)
    assert 20 <= outcome.virtual_s < 30


def test_a_world_that_never_ends_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(world: World) -> None:
        while True:
            pass

    monkeypatch.setattr(World, "run", hang)
    monkeypatch.setattr(running, "MAX_CPU_S", 0.2)
    outcome = run_named(SHORT, 1)
    assert outcome.broken == ("WorldHangsError",)
    assert "hang" in outcome.traceback


def test_a_fault_that_strikes_nobody_is_an_outcome() -> None:
    scenario = load_scenario("smoke")
    broken = type(scenario)(
        name="x",
        story="",
        duration_s=10,
        faults=(type(scenario.faults[0])(kind="link.cut", on="z"),),
    )
    outcome = run_world(broken, 1)
    assert outcome.broken == ("ScenarioError",)


def test_no_folder_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(running, "_MEMORY", tmp_path)

    async def fail(world: World) -> None:
        assert world.folder.is_relative_to(tmp_path)
        raise ValueError

    assert not run_named(SHORT, 1).failed
    monkeypatch.setattr(World, "run", fail)
    assert run_named(SHORT, 1).broken == ("ValueError",)
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_in_memory_the_system_chooses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "_MEMORY", tmp_path / "nothing")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert not run_named(SHORT, 1).failed


def test_the_products_log_goes_into_the_trace_alone(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("whimbrel_agent")
    before = logger.handlers, logger.propagate, logger.level
    lines: list[str] = []
    run_named(SHORT, 1, lines.append)
    assert any(" # whimbrel_agent." in line for line in lines)
    assert not [one for one in caplog.records if one.name.startswith("whimbrel_")]
    assert (logger.handlers, logger.propagate, logger.level) == before
