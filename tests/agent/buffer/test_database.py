"""The connection and its files: the log's room."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from buffers.harness import Shop, kept_numbers, sales
from whimbrel_agent.buffer.values import BufferBrokenError

MAX_BYTES = 8 * 1024 * 1024
LOG_BYTES = MAX_BYTES // 32


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def test_the_room_of_the_log_is_taken_at_opening(shop: Shop) -> None:
    log = shop.path.with_name("buffer.db-wal")
    async with shop.buffer(max_bytes=MAX_BYTES) as buffer:
        assert log.stat().st_size == LOG_BYTES
        for start in range(0, 5_000, 100):
            await buffer.accept(sales(100, start))
            await buffer.seal_due(shop.clock.mono)
            assert log.stat().st_size <= 2 * LOG_BYTES
        assert buffer._state.database.take_log_room()
        assert sorted(await kept_numbers(buffer)) == list(range(5_000))


async def test_a_killed_process_leaves_a_log_with_room_that_is_read_as_before(
    shop: Shop, tmp_path: Path
) -> None:
    buffer = await shop.start(max_bytes=MAX_BYTES)
    await buffer.accept(sales(100))
    left = Shop(tmp_path / "left" / "buffer.db")
    left.path.parent.mkdir()
    for file in shop.path.parent.glob("buffer.db*"):
        if not file.name.endswith("-shm"):  # as after a reboot
            (left.path.parent / file.name).write_bytes(file.read_bytes())
    await buffer.close()
    async with left.buffer(max_bytes=MAX_BYTES) as buffer:
        assert (await buffer.stats()).damage is None
        assert sorted(await kept_numbers(buffer)) == list(range(100))


async def test_a_disk_without_as_much_again_is_left_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = SimpleNamespace(f_bavail=2 * LOG_BYTES // 512 - 1024, f_frsize=512)
    monkeypatch.setattr(os, "fstatvfs", lambda _handle: little)
    async with shop.buffer(max_bytes=MAX_BYTES) as buffer:
        assert shop.path.with_name("buffer.db-wal").stat().st_size < LOG_BYTES
        assert not buffer._state.database.take_log_room()
        await buffer.accept(sales(100))


@pytest.mark.parametrize(("number", "raises"), [(errno.ENOSPC, False), (errno.EIO, True)])
async def test_a_disk_that_says_no_is_believed_and_one_that_fails_is_not_hidden(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, number: int, *, raises: bool
) -> None:
    async with shop.buffer(max_bytes=MAX_BYTES) as buffer:
        database = buffer._state.database
        database.limits = replace(database.limits, wal_bytes=2 * LOG_BYTES)

        def fail(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fail)
            if raises:
                with pytest.raises(BufferBrokenError, match="Input/output"):
                    database.take_log_room()
            else:
                assert not database.take_log_room()
