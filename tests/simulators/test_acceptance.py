"""The acceptance report tells what was run and what came of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from whimbrel_sim import acceptance
from whimbrel_sim.acceptance import Run, fleet_line, flow_line, flow_passed, report_text
from whimbrel_sim.trials.planted import PARTS, PLANTED

STARTED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


FIGURES = {
    "bytes": 5.25,
    "details": {
        "bytes": {
            "value": 5.25,
            "unit": "bytes/event",
            "target": "<= 5",
            "met": False,
            "reference": "as JSON 100",
        },
        "drain": {
            "value": None,
            "unit": "ratio",
            "target": ">= 30",
            "met": None,
            "reference": "the bridge was too slow",
        },
    },
    "machine": {"processor": "cpu", "cores": 2, "file_system": "ext4", "sqlite": "3.40"},
    "runs": 5,
    "when": "2026-01-02T04:00:00+00:00",
}


def test_a_failed_run_stands_out() -> None:
    text = report_text(
        [
            Run("scripts/soak", passed=True, said="60 kills"),
            Run("scripts/demo", passed=False, said="x"),
            Run("scripts/flow-trial link", passed=None, said="skipped, no root"),
        ],
        {},
        STARTED,
    )
    assert "| `scripts/soak` | yes | 60 kills |" in text
    assert "| `scripts/demo` | **no** | x |" in text
    assert "| `scripts/flow-trial link` | skipped | skipped, no root |" in text
    assert "2026-01-02 03:04 UTC" in text
    assert "Figures" not in text


def test_a_figure_stands_with_its_target_and_its_reference() -> None:
    text = report_text([], FIGURES, STARTED)
    assert "Medians of 5 runs on cpu, 2 cores, ext4" in text
    assert "| `bytes` | 5.25 | bytes/event | <= 5 | **no** | as JSON 100 |" in text
    assert "| `drain` | - | ratio | >= 30 |  | the bridge was too slow |" in text


def test_a_fleets_line_names_what_arrived_and_what_broke() -> None:
    report = {
        "agents": 200,
        "most_up": 199,
        "kills": {"agents": 3, "broker": 1},
        "wrong": {"postgres: once: no event arrives a second time": "..."},
        "reckoning": {"holders": {"postgres": {"committed": 9, "accepted": 9}}},
    }
    assert fleet_line(report) == (
        "200 agents, 199 up at once, 4 kills, postgres 9 of 9 accepted, "
        "broken: postgres: once: no event arrives a second time"
    )
    assert fleet_line({}) == "broke off"


def part(*lines: tuple[str, bool], skipped: str = "") -> dict[str, Any]:
    told = [{"name": name, "passed": passed, "said": "1 of 2"} for name, passed in lines]
    return {"parts": [{"part": "sink", "skipped": skipped, "lines": told}]}


def test_a_part_of_the_flow_holds_when_each_of_its_lines_does() -> None:
    report = part(("credit goes", True), ("agents spool", True))
    assert flow_passed(0, report, must_fail="") is True
    assert flow_line(report) == "credit goes: 1 of 2; agents spool: 1 of 2"
    broken = part(("credit goes", True), ("agents spool", False))
    assert flow_passed(1, broken, must_fail="") is False
    assert flow_line(broken) == "credit goes: 1 of 2; broken: agents spool: 1 of 2"


def test_a_planted_fault_is_found_only_by_its_own_line() -> None:
    broken = part(("credit goes", False), ("agents spool", True))
    assert flow_passed(1, broken, must_fail="credit goes") is True
    assert flow_passed(1, broken, must_fail="agents spool") is False
    assert flow_passed(0, part(("credit goes", True)), must_fail="credit goes") is False


def test_a_skipped_part_is_no_yes_and_one_that_broke_off_is_a_no() -> None:
    skipped = part(skipped="no namespace may be made here")
    assert flow_passed(0, skipped, must_fail="") is None
    assert flow_passed(0, skipped, must_fail="a line") is None
    assert flow_line(skipped) == "skipped, no namespace may be made here"
    assert flow_passed(2, {}, must_fail="") is False
    assert flow_line({}) == "broke off"


def test_every_part_of_the_flow_and_every_planted_fault_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def script(name: str, arguments: list[str], report: Path) -> tuple[int, dict[str, Any]]:
        asked.append([name, *arguments])
        line = next((PLANTED[word][1] for word in arguments if word in PLANTED), "")
        return (1, part((line, False))) if line else (0, part(("holds", True)))

    monkeypatch.setattr(acceptance, "_script", script)
    out = tmp_path / "report.md"
    nothing = ["--kills", "0", "--runs", "0", "--fleet-minutes", "0", "--light-minutes", "0"]
    assert acceptance.main([*nothing, "--no-demo", "--out", str(out)]) == 0
    assert [words[1] for words in asked[: len(PARTS)]] == list(PARTS)
    assert len(asked) == len(PARTS) + len(PLANTED)
    assert {name for words in asked for name in words if name in PLANTED} == set(PLANTED)
    assert out.read_text().count("| yes |") == len(asked)
