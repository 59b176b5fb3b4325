"""What people and CI systems see of a run: the table, and JUnit XML."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from whimbrel_sim.fleets.figures import Figures, from_json, total
from whimbrel_sim.fleets.junit import write_junit
from whimbrel_sim.fleets.reckoning import Reckoning
from whimbrel_sim.fleets.roster import Roster
from whimbrel_sim.fleets.running import Plan, Report
from whimbrel_sim.fleets.screen import Screen
from whimbrel_sim.ledger import Ledger, Place
from whimbrel_sim.reconcile import Contents, reconcile

ROSTER = Roster(
    run="0badcafe", tenant="sim", region="eu-1", region_key="", brokers=(), stores=2, devices=2
)


@pytest.fixture
def report() -> Report:
    """A run that lost an event."""
    ledger = Ledger()
    ledger.accept([ledger.post("r/sim-1/dev-1", "normal")], [Place(7, "normal", 1)])
    result = reconcile(ledger, Contents((), (), frames=0))
    plan = Plan(folder=Path(), roster=ROSTER, duration_s=1.0, drain_s=1.0)
    return Report(plan, drained=True, reckoning=Reckoning(ledger, {"postgres": result}))


def test_a_lost_event_fails_one_check_and_names_the_promise_and_the_event(report: Report) -> None:
    assert not report.agrees
    ((name, wrong),) = [(name, wrong) for name, wrong in report.checks().items() if wrong]
    assert name.startswith("postgres: accepted means kept")
    assert "missing: device sim-1/dev-1 lane normal number 1" in wrong
    assert name in report.to_json()["wrong"]


def test_junit_has_a_case_for_each_check(report: Report, tmp_path: Path) -> None:
    report.deaths = ["it said \x00 and ended"]
    write_junit(report, tmp_path / "fleet.xml")
    suite = ET.parse(tmp_path / "fleet.xml").getroot()
    assert suite.attrib["failures"] == "2"
    assert len(suite) == int(suite.attrib["tests"]) == len(report.checks())
    texts = [failure.text for failure in suite.iter("failure")]
    assert "it said ? and ended" in texts


def test_a_run_that_did_not_drain_says_how_much_is_left(report: Report) -> None:
    report.drained = False
    report.figures = Figures(backlog=7)
    assert "7 events have none at the end" in str(report.checks())


def test_figures_add_up_and_come_back_from_json() -> None:
    one = Figures(agents=1, up=1, accepted=3)
    assert total([one, one]) == Figures(agents=2, up=2, accepted=6)
    assert from_json({**one.to_json(), "of a newer program": 1}) == one


def test_rates_are_taken_over_the_last_seconds() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=300), agents=4) as screen:
        screen.show("sending", Figures(up=2, delivered=0), 100.0)
        screen.show("sending", Figures(up=4, delivered=50), 105.0)
        rows = dict(screen.rows())
        assert rows["devices up"] == "4 of 4"
        assert rows["events/s delivered"] == "10"
        screen.show("sending", Figures(up=4, delivered=50), 120.0)
        assert dict(screen.rows())["events/s delivered"] == "0"
    assert out.getvalue().count("sending: ") == 2  # a line now and then, where no terminal is


def test_a_terminal_gets_a_table() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Screen(console, agents=4) as screen:
        screen.show("draining", Figures(backlog=12_345), 1.0)
        console.print(screen.table("draining"))
    assert "12,345" in console.file.getvalue()  # type: ignore[attr-defined]
