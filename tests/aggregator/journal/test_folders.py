"""What the journal makes durable besides its commits."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from committed.journal import Committer, events, open_journal
from whimbrel_aggregator.journal import folders, lock, schema, storage
from whimbrel_aggregator.journal.folders import make_folder
from whimbrel_aggregator.journal.port import JournalFailedError, PartitionKey
from whimbrel_protocol.sqlitewal import scan_log

STORE = PartitionKey("acme", "store-1")


def test_each_folder_that_is_made_is_synced_into_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(folders, "sync", synced.append)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path / "a", tmp_path]


async def test_what_a_killed_journal_had_not_synced_is_made_durable_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await open_journal(tmp_path / "live" / "journal.db")
    await Committer(journal).commit([events(0, 5)])
    shutil.copytree(tmp_path / "live", tmp_path / "left")
    await journal.close()
    synced: list[str] = []
    plain = folders.sync

    def sync(path: Path) -> None:
        synced.append(path.name)
        plain(path)

    monkeypatch.setattr(storage, "sync", sync)
    again = await open_journal(tmp_path / "left" / "journal.db")
    assert "journal.db-wal" in synced
    assert (tmp_path / "left" / "journal.db-wal").stat().st_size == 0
    assert await again.heads([STORE]) == [1]
    await again.close()


async def test_a_folder_that_cannot_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage, "sync", fail)
    with pytest.raises(JournalFailedError):
        await open_journal(tmp_path / "journal.db")


def test_a_log_that_cannot_be_begun_is_an_error() -> None:
    with pytest.raises(sqlite3.OperationalError, match="write-ahead log"):
        schema._check_mode("delete")


def test_a_lock_that_cannot_be_written_is_held_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            return self._fail if name == "pwrite" else getattr(os, name)

        def _fail(self, *_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock, "os", Full())
    held = lock.JournalLock(tmp_path / "journal.db")
    assert not held.same_boot
    held.release()


async def test_a_kill_while_a_power_cut_is_recovered_from_is_no_damage(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "live" / "journal.db")
    committer = Committer(journal)
    for number in range(3):
        await committer.commit([events(number * 5, 5)])
    shutil.copytree(tmp_path / "live", tmp_path / "left")
    await journal.close()
    path = tmp_path / "left" / "journal.db"
    log, index = path.with_name("journal.db-wal"), path.with_name("journal.db-shm")
    frames = scan_log(log.read_bytes(), page_bytes=schema.PAGE_SIZE_BYTES).frames
    *_, before, _ = (frame.number for frame in frames if frame.size_after)
    spoilt = bytearray(log.read_bytes())
    spoilt[frames[before + 1].offset] ^= 1
    log.write_bytes(spoilt)
    head = bytearray(index.read_bytes())  # as SQLite's recovery has left it
    head[16:20] = head[64:68] = (before + 1).to_bytes(4, sys.byteorder)
    index.write_bytes(head)
    again = await open_journal(path)
    assert again.generation == journal.generation
    assert await again.heads([STORE]) == [2]
    await again.close()
