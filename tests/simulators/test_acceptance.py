"""The acceptance report tells what was run and what came of it."""

from datetime import UTC, datetime

from whimbrel_sim.acceptance import Run, report_text

STARTED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_a_failed_run_stands_out() -> None:
    text = report_text(
        [
            Run("scripts/soak", passed=True, said="60 kills"),
            Run("scripts/demo", passed=False, said="x"),
        ],
        {"key": 1.5},
        STARTED,
    )
    assert "| `scripts/soak` | yes | 60 kills |" in text
    assert "| `scripts/demo` | **no** | x |" in text
    assert '"key": 1.5' in text
    assert "2026-01-02 03:04 UTC" in text
