"""Finding frames and rows in raw pages, against what SQLite itself says is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buffers.harness import KEY, Shop, all_pending, sale, sales
from whimbrel_agent.buffer.carve import Carver, local_bytes
from whimbrel_agent.buffer.database import PAGE_BYTES
from whimbrel_agent.buffer.frames import digest_of


@pytest.fixture
async def image(tmp_path: Path) -> Path:
    """A closed buffer with small and big frames, and staged rows."""
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer() as buffer:
        for count in (1, 3, 20, 200, 500):
            await buffer.accept(sales(count))
            await buffer.seal_all()
        await buffer.accept([sale(1, note="x" * 50_000)])
        await buffer.seal_all()
        await buffer.accept(sales(1))
        await buffer.accept(sales(250))
        assert len(await all_pending(buffer)) >= 6
    return shop.path


def test_every_frame_and_row_in_the_tables_is_found(image: Path) -> None:
    with closing(sqlite3.connect(image)) as connection:
        bodies = {row[0] for row in connection.execute("SELECT data FROM bodies")}
        staged = {row[0] for row in connection.execute("SELECT body FROM staged")}
    carver = Carver(image.read_bytes(), PAGE_BYTES)
    found = {frame.data for _, frame in carver.frames()}
    assert found >= bodies
    for _, frame in carver.frames():
        if frame.data in bodies:
            frame.verify(KEY.public)
    assert {row.data for row in carver.staged() if row.row is not None} >= staged


def test_broken_tree_does_not_hide_the_frames(image: Path) -> None:
    data = bytearray(image.read_bytes())
    with closing(sqlite3.connect(image)) as connection:
        bodies = {digest_of(row[0]) for row in connection.execute("SELECT data FROM bodies")}
        roots = [row[0] for row in connection.execute("SELECT rootpage FROM sqlite_master")]
    for root in roots:  # page types, cell counts and pointers of every table's root
        start = (root - 1) * PAGE_BYTES
        data[start : start + 8] = b"\xff" * 8
    found = {digest_of(frame.data) for _, frame in Carver(bytes(data), PAGE_BYTES).frames()}
    assert found >= bodies


@pytest.mark.parametrize("size", [1, 900, 988, 989, 990, 1_000, 1_500, 2_008, 5_000, 70_000])
def test_local_part_of_a_record_is_where_sqlite_puts_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "probe.db"
    blob = bytes(range(256)) * (size // 256 + 1)
    blob = b"BEGIN" + blob[: size - 5] if size > 5 else b"B" * size
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
        connection.execute("INSERT INTO t VALUES (1, ?)", (blob,))
        connection.commit()
    data = path.read_bytes()
    head = 2 + max(1, ((2 * size + 12).bit_length() + 6) // 7)
    local = local_bytes(size + head, PAGE_BYTES) - head
    at = data.rfind(blob[:local], PAGE_BYTES, 2 * PAGE_BYTES)
    assert at > 0
    if local < size:
        page = int.from_bytes(data[at + local : at + local + 4], "big")
        start = (page - 1) * PAGE_BYTES + 4
        assert data[start : start + 8] == blob[local : local + 8]
