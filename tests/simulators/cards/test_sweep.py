"""The sweep as CI runs it, and that it finds what is broken on purpose."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from whimbrel_sim.cards import examining, failing
from whimbrel_sim.cards.examining import Finding, Task
from whimbrel_sim.cards.sabotages import SABOTAGES
from whimbrel_sim.cards.sweep import PARTS, Sweep, SweepError, counts_of, record

pytestmark = [pytest.mark.usefixtures("recorder"), pytest.mark.timeout(400)]

IMAGES = 2000
SEED = 20261125
JOBS = os.cpu_count() or 1


def problems(findings: list[Finding]) -> list[str]:
    return [f"{one.part} {one.image} {one.crash}: {one.problem}" for one in findings if one.problem]


@pytest.mark.slow
def test_two_thousand_crash_images_and_faults_keep_every_promise() -> None:
    sweep = Sweep(seed=SEED, counts=counts_of(IMAGES, PARTS), jobs=JOBS)
    findings = sweep.run(lambda _: None)
    assert problems(findings) == []
    assert len(findings) == IMAGES


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SABOTAGES))
def test_what_is_broken_on_purpose_is_found(name: str) -> None:
    sabotage = SABOTAGES[name]
    found: list[Finding] = []
    for begin in range(0, sabotage.within, 50):
        images = list(range(begin, min(begin + 50, sabotage.within)))
        sweep = Sweep(
            seed=1, counts={sabotage.part: len(images)}, jobs=JOBS, sabotage=name, first=begin
        )
        found += [one for one in sweep.run(lambda _: None) if one.problem]
        if found:
            return
    pytest.fail(f"{name} was not found in {sabotage.within} images")


def test_the_same_image_is_drawn_again(tmp_path: Path) -> None:
    log = record("buffer", 3, tmp_path)
    task = Task("buffer", 3, str(log), str(tmp_path / "scratch"), [5])
    drawn = [examining.Examiner(task) for _ in range(2)]
    chances = [one.chance(5) for one in drawn]
    assert [one.cut(chance) for one, chance in zip(drawn, chances, strict=True)] == [
        drawn[0].cut(drawn[0].chance(5))
    ] * 2
    assert chances[0].random() == chances[1].random() != random.Random(1).random()


def test_a_workload_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no-such"):
        record("no-such", 1, tmp_path)


def test_every_part_gets_its_share() -> None:
    assert counts_of(2000, PARTS) == {"buffer": 1000, "journal": 900, "errors": 100}
    assert counts_of(10, ("journal",)) == {"journal": 10}


def test_each_store_meets_each_fault() -> None:
    assert len(failing.FAULTS) == 8
    assert set(failing.FAULTS) >= {"sync-fails", "full-on", "read-flips", "short-write"}


def test_a_broken_promise_ends_with_status_one_and_the_way_to_see_it_again(
    tmp_path: Path,
) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "whimbrel_sim.cards", "--images", "40", "--part", "journal"]
    done = subprocess.run(
        [*command, "--sabotage", "journal-synchronous-off", "--json", figures],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "--part journal --image" in done.stderr.replace("\n", " ")
    assert json.loads(figures.read_text())["broken"] > 0
