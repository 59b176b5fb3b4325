from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_sim.records import version
from whimbrel_sim.records.version import DIGITS, commit, program_version
from whimbrel_sim.worlds.scenario import load_scenario


def test_it_depends_on_the_scenario() -> None:
    smoke = load_scenario("smoke")
    assert program_version(smoke) == program_version(load_scenario("smoke"))
    assert program_version(smoke) != program_version(replace(smoke, duration_s=1))
    assert len(program_version(smoke)) == DIGITS


def test_the_product_and_what_makes_worlds_count() -> None:
    names = {name for name, _ in version._sources()}
    assert "whimbrel_protocol/frame.py" in names
    assert "whimbrel_agent/uplink/session.py" in names
    assert "whimbrel_aggregator/app.py" in names
    assert "whimbrel_sim/worlds/faults.py" in names
    assert "whimbrel_sim/hostile.py" in names
    assert "whimbrel_sim/worlds/telling.py" not in names
    assert not any("__pycache__" in name for name in names)


def test_what_does_not_decide_is_there() -> None:
    packages = Path(version.__file__).parent.parent.parent
    assert [name for name in version.NOT_DECIDING if not (packages / name).is_file()] == []


def test_the_commit_is_named_and_changes_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"rev-parse": "abc123", "status": ""}
    monkeypatch.setattr(version, "_git", lambda folder, what, *more: answers[what])
    assert commit() == "abc123"
    answers["status"] = " M simulators/world-record.json\n M simulators/world-record.md"
    assert commit() == "abc123"
    answers["status"] = " M agent/whimbrel_agent/app.py"
    assert commit() == "abc123+"


@pytest.mark.parametrize("error", [OSError(), subprocess.CalledProcessError(128, "git")])
def test_without_a_repository_the_commit_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(version, "_git", fail)
    assert commit() == "unknown"
