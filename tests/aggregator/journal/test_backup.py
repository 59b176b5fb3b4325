from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from committed.journal import open_journal
from regions.frames import new_frame, put, stream
from whimbrel_aggregator.journal.backup import restore_backup, write_backup
from whimbrel_aggregator.journal.port import JournalError, JournalInUseError, PartitionKey
from whimbrel_aggregator.journal.verify import verify_journal


async def test_a_backup_of_a_running_journal_is_one_moment_of_it(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "journal.db")
    for first in range(1, 200, 10):
        await put(journal, new_frame(stream(), first, data=bytes(20_000)))
    async with asyncio.TaskGroup() as tasks:
        backup = tasks.create_task(journal.backup(str(tmp_path / "copy.db")))
        first = 201
        while not backup.done():
            await put(journal, new_frame(stream(), first))
            first += 10
    await journal.close()
    copy = await open_journal(tmp_path / "copy.db")
    [record] = await copy.streams([stream()])
    [head] = await copy.heads([PartitionKey("acme", "store-1")])
    assert record is not None
    assert record.ranges.high_water == head * 10
    assert 20 <= head < first
    assert copy.generation != journal.generation
    await copy.close()
    where = {problem.where for problem in verify_journal(tmp_path / "copy.db").problems}
    assert "file" not in where


async def test_a_backup_never_replaces_a_file(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "journal.db")
    (tmp_path / "copy.db").write_bytes(b"precious")
    with pytest.raises(JournalError, match="exists"):
        await journal.backup(str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_bytes() == b"precious"
    await journal.close()


async def test_restoring_keeps_the_old_journal_aside_and_needs_it_closed(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    journal = await open_journal(path)
    await put(journal, new_frame(stream(), 1))
    await asyncio.to_thread(write_backup, path, copy)
    await put(journal, new_frame(stream(), 11))
    with pytest.raises(JournalInUseError):
        restore_backup(copy, path, replace=True)
    await journal.close()
    with pytest.raises(JournalError, match="exists"):
        restore_backup(copy, path)
    restore_backup(copy, path, replace=True)
    assert (tmp_path / "journal.db.replaced").exists()
    assert path.stat().st_mode & 0o077 == 0
    restored = await open_journal(path)
    assert restored.generation != journal.generation
    [record] = await restored.streams([stream()])
    assert record is not None
    assert list(record.ranges) == [(1, 10)]
    await restored.close()
    # the backup itself is as good as before, for the next time
    restore_backup(copy, tmp_path / "second.db")
    second = await open_journal(tmp_path / "second.db")
    assert second.generation not in (journal.generation, restored.generation)
    await second.close()


def test_something_else_is_not_restored(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        restore_backup(tmp_path / "none.db", tmp_path / "journal.db")
    (tmp_path / "text.db").write_text("no journal at all, only words " * 9)
    with pytest.raises(JournalError, match="not a journal"):
        restore_backup(tmp_path / "text.db", tmp_path / "journal.db")
    assert not (tmp_path / "journal.db").exists()
