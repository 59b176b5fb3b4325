"""TIMELY: events are there as soon as their story says."""

from __future__ import annotations

import pytest

from whimbrel_sim.worlds.books import Books, Sender
from whimbrel_sim.worlds.invariants.delays import Delays
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.scenario import Expectation
from worlds.committed import SOURCE, WHERE, Reports

FRAME = b"\1" * 8
OTHER = b"\2" * 8


class Bench:
    """A sender with three accepted events, offered at 0, 10 and 20 s."""

    def __init__(self, *expects: Expectation) -> None:
        self.books = Books()
        self.reports = Reports()
        self.now_s = 0.0
        self.journal = JournalAudit(self.books, self.reports)
        self.delays = Delays(self.books, self.journal, expects, self.reports, lambda: self.now_s)
        self.sender: Sender = self.books.open(SOURCE, WHERE, "normal")
        for at_s in (0.0, 10.0, 20.0):
            self.sender.accept(self.sender.offer(1, at_s), [])

    def heard(self, at_s: float, digest: bytes = FRAME) -> None:
        self.now_s = at_s
        self.delays.heard(WHERE, digest)

    def arrived(self, *numbers: int, digest: bytes = FRAME) -> None:
        for number in numbers:
            self.sender.seen(number)
            self.journal.arrived(self.sender, number, WHERE, digest)

    def found(self) -> list[str]:
        self.delays.check()
        assert set(self.reports.invariants) <= {Invariant.TIMELY}
        return [text for _, text in self.reports.found]


def test_events_that_came_in_time_are_sound() -> None:
    bench = Bench(Expectation(lane="normal", within_s=30))
    bench.heard(25.0)
    bench.arrived(1, 2, 3)
    assert bench.found() == []
    assert list(bench.delays.found[0]) == [25.0, 15.0, 5.0]


def test_those_that_came_late_are_counted_with_the_latest() -> None:
    bench = Bench(Expectation(lane="normal", within_s=10, from_s=5))
    bench.heard(25.0)
    bench.arrived(1, 2, 3)
    [found] = bench.found()
    assert found == (
        "1 of 2 normal events offered from 5 s on came after more than 10 s, the latest after "
        "15.000 s; 0 never came"
    )


def test_the_first_receipt_counts() -> None:
    bench = Bench(Expectation(lane="normal", within_s=5, from_s=15))
    bench.heard(22.0)
    bench.heard(900.0)
    bench.arrived(1, 2, 3)
    assert bench.found() == []


def test_a_frame_may_be_looked_at_before_its_receipt_leaves() -> None:
    bench = Bench(Expectation(lane="normal", within_s=5, from_s=15))
    bench.arrived(1, 2, 3)
    bench.heard(24.0)
    assert list(bench.delays.found[0]) == [4.0]
    assert bench.found() == []


def test_what_never_came_is_found() -> None:
    bench = Bench(Expectation(lane="normal", within_s=100))
    bench.heard(24.0)
    bench.arrived(1, 2)
    assert [text.rpartition(";")[2] for text in bench.found()] == [" 1 never came"]


@pytest.mark.parametrize(
    "expectation",
    [
        Expectation(lane="critical", within_s=1),
        Expectation(lane="normal", within_s=1, from_s=21),
        Expectation(lane="normal", within_s=1, until_s=0),
        Expectation(lane="normal", within_s=1, on="store-9-9"),
    ],
)
def test_others_are_not_judged(expectation: Expectation) -> None:
    bench = Bench(expectation)
    bench.heard(900.0)
    bench.arrived(1, 2, 3)
    assert bench.found() == []


def test_each_expectation_has_its_own_events() -> None:
    bench = Bench(
        Expectation(lane="normal", within_s=1, until_s=5, on="store-1"),
        Expectation(lane="normal", within_s=10, from_s=5, on="store-1/till-1"),
    )
    bench.heard(20.5)
    bench.arrived(1, 2)
    bench.heard(21.0, OTHER)
    bench.arrived(3, digest=OTHER)
    assert [list(delays) for delays in bench.delays.found] == [[20.5], [10.5, 1.0]]
    assert len(bench.found()) == 2


def test_without_expectations_nothing_is_kept() -> None:
    bench = Bench()
    bench.heard(1.0)
    bench.arrived(1)
    assert (bench.found(), bench.delays._said_s) == ([], {})
