from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from whimbrel_sim.worlds import command, shrinking
from whimbrel_sim.worlds.faults import KINDS
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.running import run_named
from whimbrel_sim.worlds.scenario import load_scenario, names
from whimbrel_sim.worlds.shrinking import Shrunk
from whimbrel_sim.worlds.world import World

SHORT = str(Path(__file__).parent / "scenarios" / "short.toml")


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return command.run(parser.parse_args(["world", *arguments]))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every world with an even seed break a promise."""

    async def run_badly(world: World) -> None:
        if world.seed % 2 == 0:
            world.audit.report(Invariant.ONCE, "till 1 is in the journal twice")

    monkeypatch.setattr(World, "run", run_badly)


def test_a_replay_shows_the_timeline_what_was_checked_and_the_digest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trace = tmp_path / "trace.txt"
    assert run(SHORT, "--seed", "3", "--trace", str(trace)) == 0
    said = capsys.readouterr().out
    assert "killed why=kill" in said
    assert " connected " not in said
    assert "once      nothing twice" in said
    assert f"digest: {run_named(SHORT, 3).digest}" in said
    lines = trace.read_text().splitlines()
    assert any("/receipt " in line for line in lines)
    assert any(" # whimbrel_agent" in line for line in lines)
    assert len(lines) > 2 * said.count("\n")


def test_json_of_one_world_is_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SHORT, "--json") == 0
    given = json.loads(capsys.readouterr().out)
    assert (given["seed"], given["failed"]) == (1, False)
    assert given["digest"] == run_named(SHORT, 1).digest


@pytest.mark.usefixtures("broken")
def test_a_failing_world_ends_with_status_1_and_its_replay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(SHORT, "--seed", "2") == 1
    said = capsys.readouterr().out
    assert "broken, 1 times" in said
    assert f"replay: whimbrel-sim world {SHORT} --seed 2" in said


@pytest.mark.usefixtures("broken")
def test_many_worlds_are_a_table_with_failures_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SHORT, "--seeds", "11..13") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["12", "once"]
    assert [line.split()[0] for line in lines[2:4]] == ["11", "13"]
    assert f"replay: whimbrel-sim world {SHORT} --seed 12" in lines
    assert any(line.split() == ["failed", "1"] for line in lines)


@pytest.mark.usefixtures("broken")
def test_many_worlds_may_end_at_the_first_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SHORT, "--seeds", "1000", "--stop", "--json") == 1
    given = json.loads(capsys.readouterr().out)
    assert [one["seed"] for one in given["outcomes"]] == [2, 1]
    assert given["totals"]["worlds"] == 2


def test_the_lists_say_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list", "--json") == 0
    stories = json.loads(capsys.readouterr().out)
    assert list(stories) == names()
    assert all(stories.values())
    assert run("--faults", "--json") == 0
    kinds = json.loads(capsys.readouterr().out)
    assert list(kinds) == list(KINDS)
    assert kinds["link.loss"]["settings"] == {"loss": 0.2}
    assert run("--list") == run("--faults") == 0
    said = capsys.readouterr().out
    assert "smoke" in said
    assert "link.loss" in said


@pytest.mark.usefixtures("broken")
def test_shrinking_writes_a_scenario_that_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = tmp_path / "small.toml"
    assert run(SHORT, "--seed", "2", "--shrink", str(small)) == 1
    said = capsys.readouterr().out
    assert "once still breaks with 0 of " in said
    assert f"replay: whimbrel-sim world {small} --seed 2" in said
    assert load_scenario(str(small)).faults == ()
    assert run(str(small), "--seed", "2", "--json") == 1


def test_shrinking_says_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    scenario, outcome = load_scenario(SHORT), run_named(SHORT, 2)
    shrunk = Shrunk(scenario, outcome, "once", runs=9, before=5)
    monkeypatch.setattr(shrinking, "shrink", lambda *_, **__: shrunk)
    assert run(SHORT, "--seed", "2", "--shrink", str(tmp_path / "x.toml"), "--json") == 1
    given = json.loads(capsys.readouterr().out)
    assert (given["faults"], given["before"], given["runs"]) == (2, 5, 9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a SCENARIO"),
        (("nope",), "scenario 'nope' is not known (known: "),
        (("nope.toml",), "scenario file nope.toml does not exist"),
        (("smoke", "--seeds", "3", "--trace", "x"), "--trace is for one world"),
        (("smoke", "--seeds", "3", "--shrink", "x"), "--shrink is for one world"),
        ((SHORT, "--shrink", "x"), "does not fail"),
    ],
)
def test_what_cannot_be_used_is_said(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--seeds", "3..2"), ("--seeds", "x"), ("--seeds", "0"), ("--jobs", "0")]
)
def test_numbers_are_checked(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("smoke", *arguments)
    assert arguments[1] in capsys.readouterr().err
