"""Finding frames and rows in raw pages, against what SQLite itself says is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buffers.harness import KEY, Shop, all_pending, sale, sales
from whimbrel_agent.buffer.carve import Carver
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
