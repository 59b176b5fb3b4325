"""Finding frames and rows in raw pages, against what SQLite itself says is there."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buffers.harness import KEY, Shop, all_pending, sale, sales
from whimbrel_agent.buffer.carve import Carver
from whimbrel_agent.buffer.database import KNOWN_PAGE_BYTES, PAGE_BYTES, connect
from whimbrel_agent.buffer.frames import digest_of
from whimbrel_agent.buffer.staging import (
    CLAIM_BYTES,
    HEAD_BYTES,
    MAGIC,
    Pack,
    RowClaim,
    Stamp,
    write_row,
)
from whimbrel_protocol.lanes import ClockQuality

STAMP = Stamp(5, 6, ClockQuality.SYNCED)


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


@pytest.mark.parametrize("page_bytes", KNOWN_PAGE_BYTES)
def test_staged_rows_of_every_size_are_found_however_their_head_is_cut(
    tmp_path: Path, page_bytes: int
) -> None:
    chance = random.Random(4)
    path = tmp_path / "rows.db"
    written = []
    with closing(connect(path, page_bytes=page_bytes)) as connection:
        connection.execute("CREATE TABLE staged (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        for size in range(1, 3 * page_bytes):
            pack = Pack(2, tuple(sales(1 + size % 9)), chance.randbytes(size))
            written.append(write_row(pack, epoch=7, first=size, stamp=STAMP))
        rows = enumerate(written, 1 << 57)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO staged VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = list(Carver(path.read_bytes(), page_bytes).staged())
    assert {row.data for row in found} == set(written)
    assert {row.claim.first for row in found} == set(range(1, 3 * page_bytes))


def test_a_row_whose_chain_is_broken_still_claims_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "row.db"
    pack = Pack(2, tuple(sales(9)), random.Random(1).randbytes(477))
    body = write_row(pack, epoch=7, first=31, stamp=STAMP)
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE staged (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        connection.execute("INSERT INTO staged VALUES (1, ?)", (body,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    at = data.index(MAGIC)
    assert data.find(body[:HEAD_BYTES]) < 0  # its head goes on in another page
    (row,) = Carver(data, PAGE_BYTES).staged()
    assert row.data == body
    (row,) = Carver(data[: at + CLAIM_BYTES + 20].ljust(len(data), b"\0"), PAGE_BYTES).staged()
    assert (row.row, row.claim) == (None, RowClaim(7, 2, 31, 9))
