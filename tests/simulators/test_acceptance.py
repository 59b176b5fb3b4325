"""The acceptance report tells what was run and what came of it."""

from datetime import UTC, datetime

from whimbrel_sim.acceptance import Run, fleet_line, report_text

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
        ],
        {},
        STARTED,
    )
    assert "| `scripts/soak` | yes | 60 kills |" in text
    assert "| `scripts/demo` | **no** | x |" in text
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
