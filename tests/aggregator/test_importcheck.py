from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from committed.journal import Committer, address, event, events
from whimbrel_aggregator import importcheck
from whimbrel_aggregator.importcheck import TooFarOutOfOrderError, check_import
from whimbrel_aggregator.journal.port import JournalError
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_protocol.importdigest import ImportDigest


def rows(*numbers: int, import_id: str = "sales") -> list[Any]:
    return [
        event(row, extensions={"import": import_id, "importrow": row}, lane="bulk")
        for row in numbers
    ]


def digest_of(count: int) -> str:
    digest = ImportDigest()
    for one in rows(*range(count)):
        digest.add(one)
    return digest.text


async def test_count_and_digest_are_those_of_the_import(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([rows(*range(500)), events(1, 50), rows(*range(500, 800))])
    states, unreadable = check_import(journal.path, "sales")
    state = states["acme/store-1/till-1"]
    assert (state.digest.count, state.digest.text) == (800, digest_of(800))
    assert state.complete
    assert unreadable == 0


async def test_rows_that_came_early_are_put_in_order(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([rows(2, 3), rows(0, 1), rows(4)])
    [state] = check_import(journal.path, "sales")[0].values()
    assert (state.complete, state.digest.text) == (True, digest_of(5))


async def test_a_missing_row_is_seen(journal: SqliteJournal, committer: Committer) -> None:
    await committer.commit([rows(0, 1, 3, 4)])
    [state] = check_import(journal.path, "sales")[0].values()
    assert (state.complete, state.digest.count, sorted(state.waiting)) == (False, 2, [3, 4])


async def test_a_repeated_row_is_seen(journal: SqliteJournal, committer: Committer) -> None:
    await committer.commit([rows(0, 1, 1, 2)])
    [state] = check_import(journal.path, "sales")[0].values()
    assert (state.complete, state.repeated) == (False, 1)


async def test_imports_of_one_name_are_told_apart_by_device(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([rows(0, 1)])
    await committer.commit([rows(0, 1, 2)], address("store-2"))
    states, _ = check_import(journal.path, "sales")
    assert {name: state.digest.count for name, state in states.items()} == {
        "acme/store-1/till-1": 2,
        "acme/store-2/till-1": 3,
    }
    assert check_import(journal.path, "other")[0] == {}


async def test_unreadable_frames_are_counted(journal: SqliteJournal, committer: Committer) -> None:
    await committer.commit([rows(0)], columns=b"\x10\x01bad")
    assert check_import(journal.path, "sales") == ({}, 1)


async def test_memory_for_early_rows_is_bounded(
    journal: SqliteJournal, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importcheck, "MAX_WAITING", 3)
    await committer.commit([rows(5, 6, 7, 8)])
    with pytest.raises(TooFarOutOfOrderError, match="row 0 is missing"):
        check_import(journal.path, "sales")


def test_a_journal_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        check_import(tmp_path / "none.db", "sales")
