"""The targets at a small size; ``scripts/energy-plot`` holds them over a million items."""

from __future__ import annotations

import re

import pytest

from documents import ROOT
from whimbrel_sim.energy.cli import LEAST_SAVED, MOST_TIMES_BOUND, faults_of
from whimbrel_sim.energy.comparison import BOUND, CASES, Case, Comparison, Row, compare, lte
from whimbrel_sim.energy.policies import OURS, POLICIES


@pytest.fixture(scope="module")
def mixed() -> Comparison:
    return compare(CASES[0], lte(), seeds=range(3), days=2)


def test_the_shipped_policy_is_near_the_bound_and_misses_nothing(mixed: Comparison) -> None:
    assert faults_of(mixed) == []
    assert mixed.worst_times_bound <= MOST_TIMES_BOUND
    assert mixed.saved >= LEAST_SAVED
    assert mixed.row(OURS).missed == 0
    assert mixed.items > 19_000


def test_the_policies_stand_in_the_order_that_the_literature_has(mixed: Comparison) -> None:
    joules = [mixed.row(name).joules_per_day for name in ("send at once", "timer 60 s")]
    joules += [mixed.row(name).joules_per_day for name in ("timer 300 s", OURS, BOUND)]
    assert joules == sorted(joules, reverse=True)
    assert [row.policy for row in mixed.rows] == [*POLICIES, BOUND]


def test_near_deadlines_are_what_tail_ender_is_for() -> None:
    near = compare(CASES[2], lte(), seeds=[1], days=1)
    assert near.row(OURS).joules_per_day == near.row("TailEnder").joules_per_day
    assert near.row(OURS).joules_per_day < 0.95 * near.row("earliest deadline").joules_per_day


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ours_is_as_good_as_the_better_of_both_rules(case: Case) -> None:
    found = compare(case, lte(), seeds=[2], days=1)
    better = min(found.row(name).joules_per_day for name in ("TailEnder", "earliest deadline"))
    assert found.row(OURS).joules_per_day <= 1.015 * better


def test_a_policy_that_falls_short_is_named() -> None:
    rows = (Row("send at once", 100, 1, 10, 0), Row(OURS, 30, 6, 1.2, 7), Row(BOUND, 25, 5, 1, 0))
    faults = faults_of(Comparison("x", 1, 1, 10, rows, 1.2))
    assert len(faults) == 4
    assert "1.200 times" in faults[0]
    assert "70.0% below" in faults[1]
    assert "1.200 times the fewest sends" in faults[2]
    assert "7 of 10 items" in faults[3]


def test_the_page_shows_figures_that_keep_the_targets() -> None:
    page = (ROOT / "simulators" / "README.md").read_text()
    assert "](energy.png)" in page
    found = re.search(r"\| Whimbrel \| ([\d,]+) \| ([\d.]+) \| [\d,]+ \| (\d+) \|", page)
    at_once = re.search(r"\| send at once \| ([\d,]+) \|", page)
    assert found is not None
    assert at_once is not None
    ours, theirs = (float(text[1].replace(",", "")) for text in (found, at_once))
    assert 1 - ours / theirs >= LEAST_SAVED
    assert float(found[2]) <= MOST_TIMES_BOUND
    assert found[3] == "0"
