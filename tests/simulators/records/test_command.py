from __future__ import annotations

import json
from pathlib import Path

import pytest

from whimbrel_sim.cards.examining import Finding
from whimbrel_sim.cards.sweep import Sweep
from whimbrel_sim.records import command
from whimbrel_sim.records.command import main
from whimbrel_sim.records.slices import Record
from whimbrel_sim.worlds.world import World

SHORT = str(Path(__file__).parent.parent / "worlds" / "scenarios" / "short.toml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def run(path: Path, *more: str, seeds: int = 4) -> int:
    given = ["--scenario", SHORT, "--seeds", str(seeds), "--slice", "2", "--jobs", "1"]
    return main(["worlds", *given, "--record", str(path), *more])


def check(path: Path, seeds: int, *more: str) -> int:
    return main(["check", str(seeds), "--record", str(path), *more])


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
    assert check(path, 2) == 0
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
    assert check(path, 1, "--json") == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert len(problems) == 2
    assert "recorded 0000..." in problems[1]


def test_a_check_finds_a_page_that_says_something_else(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(path, seeds=2)
    path.with_suffix(".md").write_text("all is well")
    assert check(path, 0) == 1
    assert "wrong: record.md is not what the record says" in capsys.readouterr().out


def test_slices_of_another_program_are_not_replayed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(path, seeds=2)
    monkeypatch.setattr(command, "program_version", lambda _: "another")
    assert check(path, 1) == 0
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
    assert main(["worlds", "--scenario", "nope", "--record", str(path)]) == 2
    assert "'nope' is not known" in capsys.readouterr().err
    run(path, seeds=2)
    assert main(["worlds", "--scenario", SHORT, "--seeds", "3", "--record", str(path)]) == 2
    assert "take slices of 2" in capsys.readouterr().err


def test_sweeps_of_images_are_slices_too(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["images", "--sweep", "40", "--jobs", "1", "--record", str(path)]
    assert main([*given, "--images", "40"]) == 0
    assert main([*given, "--images", "80", "--json"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said[said.index("{") :])["slices"] == 1
    one, two = Record(path).slices
    assert (one.kind, one.first, one.count) == ("images", 1, 40)
    assert (two.first, two.count) == (41, 40)
    assert sum(one.sums.values()) == 40
    assert one.digest != two.digest
    assert Record(path).totals["images"]["count"] == 80
    assert "## Disk images and failing disks" in path.with_suffix(".md").read_text()


def test_broken_images_are_recorded_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Finding(part="journal", image=3, cut=9, crash="power cut", problem="lost")
    monkeypatch.setattr(Sweep, "run", lambda *_: [broken])
    assert main(["images", "--images", "1", "--sweep", "1", "--record", str(path)]) == 1
    assert Record(path).slices[0].failures == ((3, ("journal", "power cut")),)
    assert "--seed 1 --part journal --image 3" in capsys.readouterr().err
