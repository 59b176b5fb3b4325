"""KEPT: accepted events are committed, or named in a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from committed.journal import EPOCH
from whimbrel_protocol.header import InnerGap
from whimbrel_sim.worlds.books import Books, Told
from whimbrel_sim.worlds.invariants.accounts import Accounts
from whimbrel_sim.worlds.invariants.journal import JournalAudit
from whimbrel_sim.worlds.invariants.violation import Invariant
from worlds.committed import SOURCE, WHERE, Reports, committer, numbered


class Bench:
    """A sender with three accepted events at known places, of which two are committed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.books = Books()
        self.reports = Reports()
        self.journal = JournalAudit(self.books, self.reports)
        self.accounts = Accounts(self.books, self.journal, self.reports)
        self.sender = self.books.open(SOURCE, WHERE, "normal")
        self.sender.accept(self.sender.offer(3, 0.0), [Told(1, WHERE, EPOCH, "normal", 1, 3)])

    async def commit(self, numbers: list[int], *gaps: InnerGap) -> None:
        async with committer(self.folder / "journal.db") as commits:
            await commits.commit([numbered(numbers)], gaps=gaps)
        self.journal.look("eu-1", self.folder / "journal.db")
        self.journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_sound_world_breaks_nothing(bench: Bench) -> None:
    await bench.commit([1, 2, 3])
    bench.accounts.check()
    assert (bench.reports.found, bench.accounts.open_items()) == ([], {})


async def test_a_missing_event_is_found_and_named(bench: Bench) -> None:
    await bench.commit([1, 2])
    bench.accounts.check()
    [(invariant, text)] = bench.reports.found
    assert invariant is Invariant.KEPT
    assert text == f"1 of 3 accepted events of {SOURCE} are missing (3)"


async def test_a_gap_at_its_place_accounts_for_it(bench: Bench) -> None:
    await bench.commit([1, 2], InnerGap(2, 1, 4))
    bench.accounts.check()
    assert bench.reports.found == []
    assert bench.accounts.gapped() == {4: 1}


async def test_a_gap_at_another_place_does_not(bench: Bench) -> None:
    await bench.commit([1, 2], InnerGap(0, 1, 4))
    bench.accounts.check()
    assert bench.accounts.gapped() == {}
    assert bench.reports.invariants == [Invariant.KEPT]


async def test_what_was_refused_or_never_answered_may_be_missing(bench: Bench) -> None:
    bench.sender.refuse(bench.sender.offer(1, 1.0))
    bench.sender.offer(1, 1.0)
    await bench.commit([1, 2, 3])
    bench.accounts.check()
    assert bench.reports.found == []


async def test_an_event_without_a_known_place_cannot_be_in_a_gap(bench: Bench) -> None:
    bench.sender.places.clear()
    await bench.commit([1, 2], InnerGap(2, 1, 4))
    assert bench.accounts.open_items() == {SOURCE: [3]}
