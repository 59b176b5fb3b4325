"""Files keep the page size they were made with, and it is found out whatever was damaged."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from buffers.harness import (
    Shop,
    all_pending,
    assert_sound,
    kept_numbers,
    receipt_for,
    sale,
    sales,
)
from whimbrel_agent.buffer import pagesize
from whimbrel_agent.buffer.database import KNOWN_PAGE_BYTES, PAGE_BYTES, SHM_BYTES, limits_of
from whimbrel_agent.buffer.pagesize import page_bytes_of
from whimbrel_agent.buffer.store import Buffer
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.sqlitewal import FRAME_HEADER_BYTES, HEADER_BYTES

FORMER_BYTES = 1024
CAP_BYTES = 2 * 1024 * 1024
FIRST_SEGMENT_PAGES = 4_062
"""SQLite's HASHTABLE_NPAGE_ONE: what the first 32 KiB of the log's index can serve."""

each_size = pytest.mark.parametrize("size", KNOWN_PAGE_BYTES)


async def make(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> Buffer:
    """An open buffer, its file made with pages of a size: frames, staged rows and a log."""
    shop = Shop(path / "buffer.db")
    with monkeypatch.context() as patch:
        patch.setattr(pagesize, "PAGE_BYTES", size)
        buffer = await shop.start(max_bytes=CAP_BYTES)
    for start in range(0, 600, 100):
        await buffer.accept(sales(100, start))
        if start < 400:
            await buffer.seal_all()
        if start == 200:
            buffer._state.database.checkpoint()
    return buffer


async def leave(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Database and log as a killed process leaves them."""
    buffer = await make(path, size, monkeypatch)
    left = path / "left.db"
    for ending in ("", "-wal"):
        shutil.copy(f"{path / 'buffer.db'}{ending}", f"{left}{ending}")
    await buffer.close()
    return left, left.with_name("left.db-wal")


@each_size
async def test_the_header_says_it_and_no_flipped_bit_of_it_says_another(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, log = await leave(tmp_path, size, monkeypatch)
    data = left.read_bytes()
    assert page_bytes_of(left, log) == size
    assert page_bytes_of(left, tmp_path / "none") == size
    for bit in range(18 * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        left.write_bytes(damaged)
        assert page_bytes_of(left, log) == size, bit
        assert page_bytes_of(left, tmp_path / "none") == size, bit


@each_size
async def test_the_log_says_it_where_the_file_is_empty_or_its_header_is_gone(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, log = await leave(tmp_path, size, monkeypatch)
    for data in (b"", random.Random(1).randbytes(4096)):
        left.write_bytes(data)
        assert page_bytes_of(left, log) == size


@each_size
async def test_what_is_whole_says_it_where_both_headers_are_gone(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, log = await leave(tmp_path, size, monkeypatch)
    data, logged = left.read_bytes(), log.read_bytes()
    left.write_bytes(bytes(FORMER_BYTES) + data[FORMER_BYTES:])
    assert page_bytes_of(left, tmp_path / "none") == size
    log.write_bytes(bytes(HEADER_BYTES) + logged[HEADER_BYTES:])
    assert page_bytes_of(left, log) == size
    left.write_bytes(b"")
    assert page_bytes_of(left, log) == size


def test_new_and_empty_files_get_the_size_of_new_files(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert page_bytes_of(path, tmp_path / "none") == PAGE_BYTES
    path.touch()
    assert page_bytes_of(path, tmp_path / "none") == PAGE_BYTES
    path.write_bytes(bytes(5_000))  # a file of nothing is damaged, and nothing is in it
    assert page_bytes_of(path, tmp_path / "none") == PAGE_BYTES


async def test_a_file_of_former_pages_keeps_them_and_its_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await make(tmp_path, FORMER_BYTES, monkeypatch)).close()
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        assert (await buffer.stats()).damage is None
        assert sorted(await kept_numbers(buffer)) == list(range(600))
        database = buffer._state.database
        assert database.connection.execute("PRAGMA page_size").fetchone() == (FORMER_BYTES,)
        assert database.page_bytes == FORMER_BYTES
        assert database.limits.max_pages * FORMER_BYTES < CAP_BYTES
        await buffer.settle(receipt_for(await all_pending(buffer)))
        chance = random.Random(2)
        for start in range(600, 15_600, 100):
            notes = [chance.randbytes(150).hex() for _ in range(100)]
            await buffer.accept([sale(start + n, note=note) for n, note in enumerate(notes)])
            await buffer.seal_due(shop.clock.mono)
            assert (await buffer.stats()).size_bytes <= CAP_BYTES * 1.01
        line = (await buffer.stats()).lane("normal").ledger
        assert line.gapped[GapReason.EVICTED] > 0  # it was full
        await assert_sound(buffer)


async def test_a_damaged_file_of_former_pages_is_salvaged_into_one_of_new_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await make(tmp_path, FORMER_BYTES, monkeypatch)).close()
    path = tmp_path / "buffer.db"
    path.write_bytes(bytes(FORMER_BYTES) + path.read_bytes()[FORMER_BYTES:])
    async with Shop(path).buffer(max_bytes=CAP_BYTES) as buffer:
        assert (await buffer.stats()).damage is not None
        assert sorted(await kept_numbers(buffer)) == list(range(600))
        assert buffer._state.database.page_bytes == PAGE_BYTES
        await assert_sound(buffer)
    assert page_bytes_of(path, tmp_path / "none") == PAGE_BYTES


@pytest.mark.parametrize("max_bytes", [1 << 20, 3 << 20, 16 << 20, 64 << 20, 1 << 40])
def test_limits_are_the_same_bytes_for_every_page_size_and_the_log_fits_its_index(
    max_bytes: int,
) -> None:
    limits = {size: limits_of(max_bytes, 0, 70_000, page_bytes=size) for size in KNOWN_PAGE_BYTES}
    for size, mine in limits.items():
        theirs = limits[FORMER_BYTES]
        assert (mine.wal_bytes, mine.group_bytes) == (theirs.wal_bytes, theirs.group_bytes)
        assert 0 <= mine.max_pages * size - theirs.max_pages * FORMER_BYTES < FORMER_BYTES
        assert 0 <= mine.headroom_pages * size - theirs.headroom_pages * FORMER_BYTES < FORMER_BYTES
        # a transaction may begin just below the limit and add as much again
        assert 2 * mine.wal_bytes // (size + FRAME_HEADER_BYTES) <= FIRST_SEGMENT_PAGES
    assert SHM_BYTES == 32 * 1024
