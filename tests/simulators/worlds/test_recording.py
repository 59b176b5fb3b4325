from __future__ import annotations

import json
from pathlib import Path

import pytest

from whimbrel_sim.worlds import recording
from whimbrel_sim.worlds.recording import main
from whimbrel_sim.worlds.slices import Record
from whimbrel_sim.worlds.world import World

SHORT = str(Path(__file__).parent / "scenarios" / "short.toml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def run(path: Path, *more: str, seeds: int = 4) -> int:
    given = ["--scenario", SHORT, "--seeds", str(seeds), "--slice", "2", "--record", str(path)]
    return main([*given, *more])


def test_a_run_goes_on_where_the_record_ends(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(path, "--slices", "1") == 0
    assert [one.first for one in Record(path).slices] == [1]
    assert run(path, "--slices", "1") == 0
    assert run(path, seeds=5) == 0
    assert [(one.first, one.count) for one in Record(path).slices] == [(1, 2), (3, 2), (5, 1)]
    capsys.readouterr()
    assert run(path, "--json", seeds=5) == 0
    assert json.loads(capsys.readouterr().out)["slices"] == 0
    page = path.with_suffix(".md").read_text()
    assert f"| {SHORT} | 5 | 0 |" in page


def test_a_check_adds_up_and_replays(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(path)
    assert run(path, "--check", "2") == 0
    assert "2 slices, 2 seeds replayed" in capsys.readouterr().out


def test_a_check_finds_a_digest_that_is_another(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(path, seeds=2)
    given = json.loads(path.read_text())
    given["slices"][0]["marks"] = "AAAAAA=="
    given["totals"]["worlds"]["accepted"] += 1
    path.write_text(json.dumps(given))
    capsys.readouterr()
    assert run(path, "--check", "1", "--json") == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 2
    assert "recorded 0000..." in problems[1]


def test_a_check_finds_a_page_that_says_something_else(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(path, seeds=2)
    path.with_suffix(".md").write_text("all is well")
    assert run(path, "--check", "0") == 1
    assert "wrong: record.md is not what the record says" in capsys.readouterr().out


def test_slices_of_another_program_are_not_replayed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(path, seeds=2)
    monkeypatch.setattr(recording, "program_version", lambda _: "another")
    assert run(path, "--check", "1") == 0
    assert "nothing to replay" in capsys.readouterr().out
    assert run(path, seeds=2) == 0
    assert [one.program == "another" for one in Record(path).slices] == [False, True]


def test_failures_are_recorded_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(world: World) -> None:
        if world.seed == 2:
            raise ValueError

    monkeypatch.setattr(World, "run", fail)
    assert run(path) == 1
    assert Record(path).slices[0].failures == ((2, ("ValueError",)),)
    said = capsys.readouterr().err
    assert f"ValueError broke; replay: whimbrel-sim world {SHORT} --seed 2" in said


def test_what_cannot_be_used_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scenario", "nope", "--record", str(path)]) == 2
    assert "'nope' is not known" in capsys.readouterr().err
    run(path, seeds=2)
    assert main(["--scenario", SHORT, "--seeds", "3", "--record", str(path)]) == 2
    assert "take slices of 2" in capsys.readouterr().err
