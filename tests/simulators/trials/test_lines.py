"""What a part says, in text and in JSON."""

import json

from whimbrel_sim.trials.lines import (
    Line,
    PartReport,
    change,
    middle,
    part_from_json,
    share,
    table,
)

HELD = Line("holds", True, "3 of 3")
BROKEN = Line("breaks", False, "2 of 3", timed=True)


def test_a_line_that_does_not_hold_fails_its_part_and_is_named() -> None:
    report = PartReport(part="sink", lines=(HELD, BROKEN))
    assert not report.passed
    assert report.failing == ("breaks",)
    assert "yes  holds" in table(report)
    assert "NO   breaks  2 of 3" in table(report)


def test_a_skipped_part_is_neither_yes_nor_no() -> None:
    report = PartReport(part="link", skipped="it needs ip")
    assert report.passed
    assert report.to_json()["passed"] is None
    assert table(report) == "link: skipped, it needs ip"


def test_a_report_comes_back_from_its_json() -> None:
    report = PartReport(part="sink", lines=(HELD, BROKEN), figures={"a": 1.5})
    assert part_from_json(json.loads(json.dumps(report.to_json()))) == report


def test_shares_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert share(values, 0.5) == 51
    assert share(values, 0.99) == 100
    assert share(values, 1.0) == 100
    assert share([], 0.5) != share([], 0.5)  # not a number
    assert middle([3, 1, 2]) == 2


def test_a_change_is_a_part_of_what_was_before() -> None:
    assert change(100, 91) == -0.09
    assert change(0, 5) == 0
