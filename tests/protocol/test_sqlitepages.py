"""Finding rows and frames in raw pages, against what SQLite itself says is there."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from regions.frames import Device
from whimbrel_protocol.sqlitepages import (
    FRAME_MARK,
    PageImage,
    frame_size,
    local_bytes,
    read_record,
    read_varint,
    varint_size,
)

SIZES = (1, 60, 900, 988, 990, 2_008, 4_000, 4_061, 4_062, 9_000, 70_000)
TILL = Device()


def database(place: Path, page_bytes: int, rows: list[tuple[object, ...]]) -> bytes:
    """A file with a table of two small columns and a blob."""
    with closing(sqlite3.connect(place)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, data)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    return place.read_bytes()


def mixed_rows() -> list[tuple[object, ...]]:
    draw = random.Random(4)
    small: list[object] = [None, 0, 1, -1, 200, -30_000, 2**23, 2**31, 2**40, -(2**62), 1.5]
    return [
        (number * 7 - 20, small[number], f"text {number} é", draw.randbytes(size))
        for number, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize("page_bytes", [512, 1024, 4096, 16384])
def test_every_row_is_taken_apart_as_sqlite_returns_it(tmp_path: Path, page_bytes: int) -> None:
    rows = mixed_rows()
    image = PageImage(database(tmp_path / "t.db", page_bytes, rows), page_bytes)
    found = {row.rowid: row for row in image.leaf_rows() if len(row.values) == 4}
    for rowid, a, b, data in rows:
        row = found[rowid]  # type: ignore[index]
        assert row.values == (None, a, str(b).encode(), data)
        assert image.read(row.last) == data


def test_rows_are_found_in_leaves_that_no_tree_leads_to(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(n, n, "x", b"y" * 300) for n in range(200)]
    data = bytearray(database(tmp_path / "t.db", 1024, rows))
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master")
    data[(root - 1) * 1024 : root * 1024] = bytes(1024)
    found = {row.rowid for row in PageImage(bytes(data), 1024).leaf_rows()}
    assert found >= set(range(200))


def test_rubbish_in_any_page_is_no_row_and_no_error(tmp_path: Path) -> None:
    rows = mixed_rows()
    sound = database(tmp_path / "t.db", 512, rows)
    draw = random.Random(5)
    for _ in range(60):
        data = bytearray(sound)
        for _ in range(40):
            data[draw.randrange(len(data))] = draw.randrange(256)
        image = PageImage(bytes(data), 512)
        for row in image.leaf_rows():
            assert row.values
    noise = PageImage(b"\x0d" + draw.randbytes(4095), 512)
    assert sum(1 for _ in noise.leaf_rows()) < 100


@pytest.mark.parametrize("page_bytes", [1024, 4096])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_frame_is_found_by_its_mark_wherever_its_record_goes_on(
    tmp_path: Path, page_bytes: int, size: int
) -> None:
    frame = TILL.frame(1, content=random.Random(size).randbytes(size))
    data = database(tmp_path / "t.db", page_bytes, [(1, 77, "zone", frame)])
    image = PageImage(data, page_bytes)
    ((at, length),) = [
        (offset, frame_size(data[offset : offset + 22])) for offset in image.marks(FRAME_MARK)
    ]
    assert length == len(frame)
    # header: its size, four types; then one byte and four of text
    before = 1 + 1 + 1 + 1 + varint_size(2 * len(frame) + 12) + 1 + 4
    assert image.blob(at, len(frame), before_bytes=before) == frame
    assert frame in [blob for _, blob in image.blobs(at, len(frame), before_most=300)]
    assert len(list(image.blobs(at, len(frame), before_most=300))) < 310


def test_what_is_cut_short_is_no_frame() -> None:
    frame = TILL.frame(1)
    assert frame_size(frame[:22]) == len(frame)
    assert frame_size(frame[:21]) is None
    assert frame_size(frame[:17] + b"\x5b" + frame[18:]) is None
    assert frame_size(frame[:16] + b"\xa1" + frame[17:]) is None
    image = PageImage(bytes(1024 - 30) + frame[:30], 1024)
    assert image.blob(1024 - 30, len(frame), before_bytes=0) is None
    assert list(image.blobs(1024 - 30, len(frame), before_most=20)) == []


def test_a_chain_that_leads_in_a_circle_ends() -> None:
    page = bytearray(1024)
    page[: len(FRAME_MARK)] = FRAME_MARK
    local = local_bytes(100_000, 1024)
    page[local : local + 4] = (1).to_bytes(4, "big")
    page[0:4] = (1).to_bytes(4, "big")
    found = PageImage(bytes(page), 1024).blob(0, 100_000, before_bytes=0)
    assert found is not None  # rubbish, as its digest will say
    assert len(found) == 100_000


def test_numbers_are_read_as_sqlite_writes_them() -> None:
    assert read_varint(b"\x7f", 0) == (127, 1)
    assert read_varint(b"\x81\x00", 0) == (128, 2)
    assert read_varint(b"\xff" * 9, 0) == (2**64 - 1, 9)
    with pytest.raises(IndexError):
        read_varint(b"\x81", 0)


@pytest.mark.parametrize(
    "record", [b"", b"\x01", b"\x05\x01", b"\x02\x0a", b"\x03\x01\x01\x01", b"\x02\x01\x01\x01"]
)
def test_what_is_no_record_is_none(record: bytes) -> None:
    assert read_record(record) is None
