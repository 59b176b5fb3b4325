"""What opening refuses, finishes and survives besides plain damage."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from buffers.harness import Shop, all_pending, assert_sound, kept_numbers, sales
from whimbrel_agent.buffer import recent
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferBrokenError, BufferFullError


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def fill(buffer: Buffer) -> None:
    for start in range(0, 500, 100):
        await buffer.accept(sales(100, start))
        await buffer.seal_all()


async def test_damage_met_while_running_breaks_the_buffer_and_opening_salvages_it(
    shop: Shop,
) -> None:
    buffer = await shop.start()
    await fill(buffer)
    connection = buffer._state.database.connection
    connection.execute(
        "UPDATE pending SET first = first + 1 WHERE id = (SELECT min(id) FROM pending)"
    )
    with pytest.raises(BufferBrokenError, match="open it again"):
        await all_pending(buffer)
    with pytest.raises(BufferBrokenError):
        await buffer.accept(sales(1))
    await buffer.close()
    async with shop.buffer() as buffer:
        assert (await buffer.stats()).damage is not None
        assert await kept_numbers(buffer) == list(range(500))
        await assert_sound(buffer)


async def test_damaged_frame_met_while_running_becomes_a_gap_of_its_own_range(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer)
        refs = await all_pending(buffer)
        connection = buffer._state.database.connection
        connection.execute("UPDATE bodies SET data = data || 'x' WHERE id = 2")
        assert await buffer.load(refs[1].id) is None
        now = await all_pending(buffer)
        assert [(r.first, r.span) for r in now] == [(r.first, r.span) for r in refs]
        assert [r.count for r in now] == [100, 0, 100, 100, 100]
        assert (await buffer.stats()).quarantine_bytes > 0
        await assert_sound(buffer)


@pytest.mark.parametrize("in_memory", [False, True])
async def test_damaged_staged_row_met_at_sealing_costs_only_itself(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.setattr(recent, "MAX_RECENT_BYTES", 0)
    async with shop.buffer() as buffer:
        for start in range(0, 300, 100):
            await buffer.accept(sales(100, start))
        connection = buffer._state.database.connection
        connection.execute(
            "UPDATE staged SET body = zeroblob(length(body)) WHERE id ="
            " (SELECT id FROM staged ORDER BY id LIMIT 1 OFFSET 1)"
        )
        await buffer.seal_all()
        found = [(r.first, r.span, r.count) for r in await all_pending(buffer)]
        if in_memory:  # what was accepted a moment ago need not be read back
            assert found == [(1, 300, 300)]
        else:
            assert found == [(1, 100, 100), (101, 100, 0), (201, 100, 100)]
        assert (await buffer.stats()).lane("normal").ledger.balanced
        await assert_sound(buffer)


@pytest.mark.parametrize("log_is_gone", [False, True])
async def test_opening_finishes_a_salvage_that_was_stopped_before_the_end(
    shop: Shop, tmp_path: Path, log_is_gone: bool
) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer)
    shutil.copy(shop.path, tmp_path / "buffer.db.rebuilt")
    shop.path.write_bytes(b"damaged" * 1_000)
    if not log_is_gone:
        (tmp_path / "buffer.db-wal").write_bytes(b"damaged" * 1_000)
    async with shop.buffer() as buffer:
        assert await kept_numbers(buffer) == list(range(500))
        assert not (tmp_path / "buffer.db.rebuilt").exists()


async def test_half_built_files_of_a_stopped_salvage_are_thrown_away(
    shop: Shop, tmp_path: Path
) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer)
    (tmp_path / "buffer.db.building").write_bytes(b"half")
    (tmp_path / "buffer.db.image").write_bytes(b"half")
    async with shop.buffer() as buffer:
        assert await kept_numbers(buffer) == list(range(500))
        assert not (tmp_path / "buffer.db.building").exists()


@pytest.mark.parametrize(
    ("code", "error"),
    [(sqlite3.SQLITE_IOERR, BufferBrokenError), (sqlite3.SQLITE_FULL, BufferFullError)],
)
async def test_a_disk_that_fails_while_a_buffer_is_salvaged_is_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer)
    first = bytearray(shop.path.read_bytes())
    first[:1024] = b"damaged!" * 128
    shop.path.write_bytes(first)

    def fails(*_: object, **__: object) -> None:
        failure = sqlite3.OperationalError("disk I/O error")
        failure.sqlite_errorcode = code
        raise failure

    with monkeypatch.context() as broken:
        broken.setattr("whimbrel_agent.buffer.image.connect", fails)
        with pytest.raises(error, match=r"buffer buffer\.db"):
            await shop.start()
    async with shop.buffer() as buffer:  # nothing was done to the damaged file
        assert await kept_numbers(buffer) == list(range(500))
