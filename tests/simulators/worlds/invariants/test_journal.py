"""ONCE, ORDER, FORGERY and READABLE: each is broken by hand in a real journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from committed.journal import EPOCH, Committer
from whimbrel_protocol.header import InnerGap
from whimbrel_sim.worlds.books import Books
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.violation import Invariant, Violation
from worlds.committed import SOURCE, WHERE, Reports, accepted, change, committer, numbered


class Bench:
    """Books of a sender with five accepted events, and a journal."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "journal.db"
        self.books = Books()
        self.sender = accepted(self.books, 5)
        self.reports = Reports()
        self.audit = JournalAudit(self.books, self.reports)

    async def commit(self, work: Callable[[Committer], Awaitable[None]]) -> None:
        async with committer(self.journal) as commits:
            await work(commits)

    def look(self) -> list[Invariant]:
        self.audit.look("eu-1", self.journal)
        return self.reports.invariants


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_sound_journal_breaks_nothing(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1, 2]), numbered([3, 4, 5])]))
    assert bench.look() == []
    assert list(bench.sender.missing()) == []
    assert bench.audit.events == 5
    bench.audit.close()


async def test_a_journal_that_is_not_there_yet_breaks_nothing(bench: Bench) -> None:
    assert bench.look() == []


async def test_an_event_that_is_there_twice_is_found(bench: Bench) -> None:
    async def twice(commits: Committer) -> None:
        await commits.commit([numbered([1, 2])])
        await commits.commit([numbered([2])], epoch=EPOCH + (1 << 40))

    await bench.commit(twice)
    assert Invariant.ONCE in bench.look()
    bench.audit.close()


async def test_an_event_in_a_fork_may_be_there_once_more(bench: Bench) -> None:
    async def twice(commits: Committer) -> None:
        await commits.commit([numbered([1, 2])])
        await commits.commit([numbered([2])], epoch=EPOCH + (1 << 40))

    await bench.commit(twice)
    change(bench.journal, "UPDATE frames SET fork = 1 WHERE first = 1 AND span = 1")
    assert bench.look() == []
    assert bench.audit.forks == 1
    bench.audit.close()


async def test_the_same_frame_twice_is_found_even_as_a_fork(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1]), numbered([2])]))
    change(
        bench.journal,
        "UPDATE frames SET fork = 1, data = (SELECT data FROM frames WHERE first = 1) "
        "WHERE first = 2",
    )
    assert bench.look() == [Invariant.ONCE]
    bench.audit.close()


async def test_events_out_of_order_are_found(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1, 3]), numbered([2])]))
    assert bench.look() == [Invariant.ORDER]
    bench.audit.close()


async def test_a_newer_epoch_before_an_older_one_is_found(bench: Bench) -> None:
    await bench.commit(_newer_first)
    assert bench.look() == [Invariant.ORDER]
    bench.audit.close()


async def test_a_restored_journal_may_get_epochs_that_were_on_their_way_in_any_order(
    bench: Bench,
) -> None:
    bench.audit.restored("eu-1")
    await bench.commit(_newer_first)
    assert bench.look() == []
    bench.audit.close()


async def test_what_is_offered_after_a_restore_is_held_to_its_order(bench: Bench) -> None:
    bench.audit.restored("eu-1")
    accepted(bench.books, 2)
    await bench.commit(lambda commits: _newer_first(commits, newer=7))
    assert bench.look() == [Invariant.ORDER]
    bench.audit.close()


async def test_a_restored_journal_holds_each_epoch_to_its_order(bench: Bench) -> None:
    bench.audit.restored("eu-1")
    await bench.commit(lambda commits: commits.commit([numbered([1, 3]), numbered([2])]))
    assert bench.look() == [Invariant.ORDER]
    bench.audit.close()


async def _newer_first(commits: Committer, newer: int = 3) -> None:
    await commits.commit([numbered([newer])], epoch=EPOCH + (1 << 40))
    await commits.commit([numbered([2])])


@pytest.mark.parametrize(
    ("source", "number"), [("nobody", 1), (SOURCE, 6), (SOURCE, 0), (SOURCE, -1)]
)
async def test_an_event_that_nobody_offered_is_found(
    bench: Bench, source: str, number: int
) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([number], source)]))
    assert bench.look() == [Invariant.FORGERY]
    bench.audit.close()


async def test_a_forgery_in_a_fork_is_found_too(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([6])]))
    change(bench.journal, "UPDATE frames SET fork = 1")
    assert bench.look() == [Invariant.FORGERY]
    bench.audit.close()


async def test_a_frame_that_cannot_be_read_is_found(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1])]))
    change(bench.journal, "UPDATE frames SET data = x'00112233'")
    assert bench.look() == [Invariant.READABLE]
    bench.audit.close()


async def test_events_that_cannot_be_read_are_found(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1])], columns=b"no columns"))
    assert bench.look() == [Invariant.READABLE]
    bench.audit.close()


def test_a_file_that_is_no_journal_is_found(bench: Bench) -> None:
    bench.journal.write_bytes(b"no journal" * 1000)
    assert bench.look() == [Invariant.READABLE]
    bench.audit.close()


async def test_a_second_look_reads_only_what_is_new(bench: Bench) -> None:
    async with committer(bench.journal) as commits:
        await commits.commit([numbered([1])])
        bench.look()
        bench.look()
        await commits.commit([numbered([2])])
        bench.look()
    assert (bench.reports.found, bench.audit.events) == ([], 2)
    bench.audit.close()


async def test_letting_go_of_a_file_keeps_what_was_read(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1])]))
    bench.look()
    bench.audit.let_go("eu-1")
    assert bench.look() == []
    assert bench.audit.events == 1
    bench.audit.close()


async def test_another_journal_is_read_from_its_start(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1])]))
    bench.look()
    bench.audit.begin_anew()
    missing = list(bench.sender.missing())
    assert bench.look() == []
    assert (missing, list(bench.sender.missing())) == ([1, 2, 3, 4, 5], [2, 3, 4, 5])
    bench.audit.close()


async def test_gaps_are_remembered_with_their_reasons(bench: Bench) -> None:
    await bench.commit(lambda commits: commits.commit([numbered([1])], gaps=(InnerGap(1, 2, 4),)))
    bench.look()
    assert dict(bench.audit.gaps) == {(WHERE, EPOCH, "normal"): [(2, 2, 4)]}
    bench.audit.close()


def test_a_violation_says_when_and_what() -> None:
    assert str(Violation(Invariant.ONCE, 12.5, "twice")) == "12.500 s: once: twice"
