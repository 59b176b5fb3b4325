"""What crashes leave in the log, in any order of its pages, takes nothing that was answered."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import pytest

from buffers.harness import HandClock, Shop, assert_sound, kept_numbers, sales
from whimbrel_agent.buffer import database, numbers, opening, reserve
from whimbrel_agent.buffer.numbers import NotSyncedError, NumbersFile, read_numbers
from whimbrel_agent.buffer.reserve import ReserveFile
from whimbrel_agent.buffer.values import BufferBrokenError, BufferFullError, BufferLockedError
from whimbrel_protocol.sqlitewal import FRAME_HEADER_BYTES

ANSWERED = 120


async def grown_log(tmp_path: Path) -> tuple[Path, int, int]:
    """Leave a buffer after a sealing: its file, where the sealing's pages lie, how many there are."""
    shop = Shop(tmp_path / "live" / "buffer.db")
    buffer = await shop.start()
    for start in range(0, ANSWERED, 20):
        await buffer.accept(sales(20, start))
    frame_bytes = FRAME_HEADER_BYTES + buffer._state.database.page_bytes
    first = buffer._state.database.wal_frames()
    await buffer.seal_all()
    last = buffer._state.database.wal_frames()
    shutil.copytree(shop.path.parent, tmp_path / "after")
    await buffer.close()
    return tmp_path / "after" / "buffer.db", 32 + first * frame_bytes, last - first


@pytest.mark.parametrize("seed", range(12))
async def test_a_sealing_whose_pages_came_in_part_loses_no_answered_event(
    tmp_path: Path, seed: int
) -> None:
    path, begin, count = await grown_log(tmp_path)
    chance = random.Random(seed)
    frame_bytes = FRAME_HEADER_BYTES + 512
    with path.with_name("buffer.db-wal").open("r+b") as log:
        for number in chance.sample(range(count), chance.randint(1, count - 1)):
            log.seek(begin + number * frame_bytes)
            log.write(bytes(frame_bytes))
    path.with_name("buffer.db-shm").unlink()
    shop = Shop(path, clock=HandClock(boot_id=b"bt02"))
    async with shop.buffer() as buffer:
        assert sorted(await kept_numbers(buffer)) == list(range(ANSWERED))
        await assert_sound(buffer)


async def test_two_kills_in_the_middle_of_commits_are_no_damage(tmp_path: Path) -> None:
    path, begin, count = await grown_log(tmp_path)
    frame_bytes = FRAME_HEADER_BYTES + 512
    # the sealing was not committed: its first page is overwritten by who came after
    with path.with_name("buffer.db-wal").open("r+b") as log:
        log.seek(begin)
        log.write(bytes(frame_bytes))
    index = path.with_name("buffer.db-shm")
    head = bytearray(index.read_bytes())
    committed = ((begin - 32) // frame_bytes).to_bytes(4, "little")
    head[16:20] = head[64:68] = committed
    index.write_bytes(head)
    assert count > 2
    async with Shop(path).buffer() as buffer:
        assert (await buffer.stats()).damage is None
        assert await kept_numbers(buffer) == list(range(ANSWERED))


async def test_opening_leaves_nothing_of_a_dead_process_in_the_log(tmp_path: Path) -> None:
    path, *_ = await grown_log(tmp_path)
    async with Shop(path).buffer() as buffer:
        log = path.with_name("buffer.db-wal").read_bytes()
        frames = buffer._state.database.wal_frames()
        assert not any(log[32 + frames * (FRAME_HEADER_BYTES + 512) :])


# ---- failing disks


class Failing:
    """The ``os`` of a module, in which one function fails."""

    def __init__(self, name: str, error: int) -> None:
        self.name = name
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self.name else getattr(os, name)

    def _fail(self, *_: object) -> NoReturn:
        raise OSError(self.error, os.strerror(self.error))


async def test_a_failed_sync_of_the_numbers_breaks_the_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path / "buffer.db")
    buffer = await shop.start()
    monkeypatch.setattr(numbers, "os", Failing("fdatasync", errno.ENOSPC))
    with pytest.raises(BufferBrokenError):
        await buffer.accept(sales(1))
    monkeypatch.undo()
    with pytest.raises(BufferBrokenError):  # asked again, the sync would have succeeded
        await buffer.accept(sales(1))
    await buffer.close()
    async with shop.buffer() as buffer:
        assert len(await buffer.accept(sales(1))) == 1


async def test_numbers_that_find_no_room_refuse_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Shop(tmp_path / "buffer.db").buffer() as buffer:
        monkeypatch.setattr(numbers, "os", Failing("pwrite", errno.ENOSPC))
        with pytest.raises(BufferFullError):
            await buffer.accept(sales(1))
        monkeypatch.undo()
        assert len(await buffer.accept(sales(1))) == 1


def test_a_record_that_is_written_in_two_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = NumbersFile(tmp_path / "numbers")
    file.start(77, b"bt01")

    class Short(Failing):
        def _fail(self, *given: Any) -> Any:
            handle, data, offset = given
            return os.pwrite(handle, data[: max(1, len(data) // 2)], offset)

    monkeypatch.setattr(numbers, "os", Short("pwrite", 0))
    file.reserve(1, 77, 300)
    file.abandon()
    assert read_numbers((tmp_path / "numbers").read_bytes()).reserved == {(77, 1): 300}


def test_a_failed_sync_of_numbers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = NumbersFile(tmp_path / "numbers")
    file.start(77, b"bt01")
    monkeypatch.setattr(numbers, "os", Failing("fdatasync", errno.EIO))
    with pytest.raises(NotSyncedError):
        file.reserve(1, 77, 300)
    file.abandon()


async def test_a_clean_mark_that_cannot_be_written_lets_go_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path / "buffer.db")
    buffer = await shop.start()
    monkeypatch.setattr(numbers, "os", Failing("pwrite", errno.EIO))
    await buffer.close()
    monkeypatch.undo()
    try:
        async with shop.buffer() as buffer:
            await assert_sound(buffer)
    except BufferLockedError:
        pytest.fail("the lock is still held")


async def test_a_full_disk_at_the_first_opening_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path / "buffer.db")
    limits = opening.limits_for

    def no_room(*given: Any, **settings: Any) -> Any:
        found = limits(*given, **settings)
        object.__setattr__(found, "max_pages", 4)
        return found

    monkeypatch.setattr(opening, "limits_for", no_room)
    with pytest.raises(BufferFullError):
        await shop.start()


def test_a_log_that_cannot_be_begun_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection:
        """Keeps the mode that was, as SQLite does when the first write fails."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def execute(self, text: str, *rest: Any) -> Any:
            if "journal_mode" in text:
                text = "PRAGMA journal_mode = DELETE"
            return self._inner.execute(text, *rest)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    plain = database._set_up
    monkeypatch.setattr(
        database,
        "_set_up",
        lambda connection, size: plain(Connection(connection), size),  # type: ignore[arg-type]
    )
    with pytest.raises(sqlite3.OperationalError, match="write-ahead log"):
        database.connect(tmp_path / "buffer.db")


def test_a_reserve_that_a_failing_disk_refuses_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "os", Failing("posix_fallocate", errno.EIO))
    assert not ReserveFile(tmp_path / "reserve", 4096).present
    assert not (tmp_path / "reserve").exists()
