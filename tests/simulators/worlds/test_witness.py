"""The witness reads a real journal, a few frames at a time, without the aggregator's help."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from committed.journal import EPOCH, address
from whimbrel_protocol.header import InnerGap
from whimbrel_sim.worlds.witness import Witness
from worlds.committed import change, committer, numbered


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


async def test_frames_come_once_with_where_they_belong(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1, 2]), numbered([3], lane="critical")])
        witness = Witness(journal)
        frames = list(witness.new_frames())
        assert [(one.where, one.epoch, one.lane, one.first, one.span) for one in frames] == [
            ("acme/store-1/till-1", EPOCH, "normal", 1, 2),
            ("acme/store-1/till-1", EPOCH, "critical", 1, 1),
        ]
        assert [[event.data["n"] for event in one.events()] for one in frames] == [[1, 2], [3]]
        assert not any(one.fork for one in frames)
        assert list(witness.new_frames()) == []
        witness.close()


async def test_only_what_came_since_is_read_in_every_partition(journal: Path) -> None:
    async with committer(journal) as commits:
        other = address("store-2")
        await commits.commit([numbered([1])])
        await commits.commit([numbered([1])], other)
        witness = Witness(journal)
        list(witness.new_frames())
        await commits.commit([numbered([2])])
        await commits.commit([numbered([2])], other)
        new = [(one.where, one.first) for one in witness.new_frames()]
        assert new == [("acme/store-1/till-1", 2), ("acme/store-2/till-1", 2)]
        witness.close()


async def test_another_reader_goes_on_where_one_stopped(journal: Path, tmp_path: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1])])
        first = Witness(journal)
        list(first.new_frames())
        read_to = first.close()
        await commits.commit([numbered([2])])
    copy = tmp_path / "copy.db"
    shutil.copy(journal, copy)
    second = Witness(copy, read_to)
    assert [one.first for one in second.new_frames()] == [2]
    second.close()


async def test_gaps_inside_of_a_frame_are_told(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1, 2])], gaps=(InnerGap(1, 3, 4),))
    witness = Witness(journal)
    [kept] = witness.new_frames()
    assert list(kept.gaps()) == [(2, 3, 4)]
    assert (kept.first, kept.span, len(kept.events())) == (1, 5, 2)
    witness.close()


async def test_a_frame_without_events_is_one_gap(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([[]], gaps=(InnerGap(0, 7, 4),))
    witness = Witness(journal)
    [kept] = witness.new_frames()
    assert (list(kept.gaps()), kept.events()) == ([(1, 7, 4)], [])
    witness.close()


async def test_a_fork_says_so(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1])])
    change(journal, "UPDATE frames SET fork = 1")
    witness = Witness(journal)
    assert [one.fork for one in witness.new_frames()] == [True]
    witness.close()


async def test_bytes_that_are_no_frame_are_told_with_the_fault(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1])])
    change(journal, "UPDATE frames SET data = x'00112233'")
    witness = Witness(journal)
    [kept] = witness.new_frames()
    assert (kept.frame, kept.events()) == (None, [])
    assert kept.fault
    witness.close()


def test_a_file_that_is_no_journal_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no journal" * 1000)
    witness = Witness(tmp_path / "x.db")
    with pytest.raises(sqlite3.Error):
        list(witness.new_frames())
    witness.close()


def test_a_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        Witness(tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()


async def test_it_cannot_write(journal: Path) -> None:
    async with committer(journal) as commits:
        await commits.commit([numbered([1])])
    witness = Witness(journal)
    with pytest.raises(sqlite3.OperationalError):
        witness._connection.execute("DELETE FROM frames")
    witness.close()
