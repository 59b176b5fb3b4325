"""COUNTED: what comes of a ruled sender stands for what was accepted, neither less nor more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from committed.journal import event
from whimbrel_protocol.event import Event
from whimbrel_protocol.header import InnerGap
from whimbrel_sim.worlds.books import Books
from whimbrel_sim.worlds.invariants.counts import Counts
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.violation import Invariant
from worlds.committed import SOURCE, WHERE, Reports, committer


def window(count: object) -> Event:
    """What a rule makes of so many readings."""
    return event(1, source=SOURCE, data={"count": 1}, extensions={"edgecount": count})


class Bench:
    """A ruled sender with ten accepted events."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self.books = Books()
        self.reports = Reports()
        self.journal = JournalAudit(self.books, self.reports)
        self.counts = Counts(self.books, self.journal, self.reports)
        self.sender = self.books.open(SOURCE, WHERE, "normal")
        self.sender.ruled = True
        self.sender.accept(self.sender.offer(10, 0.0), [])

    async def commit(self, events: Sequence[Event], *gaps: InnerGap) -> None:
        async with committer(self.path) as commits:
            await commits.commit([events], gaps=gaps)
        self.journal.look("eu-1", self.path)
        self.journal.close()

    def found(self) -> list[str]:
        self.counts.check()
        assert set(self.reports.invariants) <= {Invariant.COUNTED}
        return [text for _, text in self.reports.found]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_summaries_that_stand_for_all_are_sound(bench: Bench) -> None:
    assert bench.counts.open_senders() == [SOURCE]
    await bench.commit([window(6), window(4)])
    assert (bench.counts.open_senders(), bench.found()) == ([], [])


async def test_too_few_are_found(bench: Bench) -> None:
    await bench.commit([window(6), window(3)])
    assert bench.counts.open_senders() == [SOURCE]
    assert bench.found() == [
        f"the events of {SOURCE} stand for 9 accepted ones, there are 10",
    ]


async def test_too_many_are_found(bench: Bench) -> None:
    await bench.commit([window(6), window(6)])
    assert len(bench.found()) == 1


async def test_what_was_never_answered_may_be_there_or_not(bench: Bench) -> None:
    bench.sender.offer(3, 0.0)
    await bench.commit([window(12)])
    assert bench.found() == []


async def test_a_refused_event_must_not_be_there(bench: Bench) -> None:
    bench.sender.refuse(bench.sender.offer(3, 0.0))
    await bench.commit([window(12)])
    assert len(bench.found()) == 1


async def test_where_the_buffer_let_something_go_the_sum_may_only_be_less(bench: Bench) -> None:
    await bench.commit([window(6)], InnerGap(1, 1, 4))
    assert bench.found() == []


async def test_an_event_without_a_count_stands_for_itself(bench: Bench) -> None:
    await bench.commit([window(8), window(None), event(2, source=SOURCE, data={"n": 2})])
    assert bench.found() == []


async def test_devices_of_which_a_copy_ran_are_left_alone(bench: Bench) -> None:
    bench.journal.copied.add(WHERE)
    assert (bench.counts.open_senders(), bench.found()) == ([], [])


async def test_what_was_counted_is_forgotten_with_the_journal(bench: Bench) -> None:
    await bench.commit([window(10)])
    bench.journal.begin_anew()
    assert bench.counts.open_senders() == [SOURCE]
    bench.journal.look("eu-1", bench.path)
    assert bench.found() == []
    bench.journal.close()
