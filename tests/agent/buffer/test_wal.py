"""The walk over SQLite's own log files: torn ends, flipped bits, former generations."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from whimbrel_agent.buffer.database import PAGE_BYTES, connect
from whimbrel_agent.buffer.wal import committed_frames, scan_wal
from whimbrel_protocol.sqlitewal import FRAME_HEADER_BYTES, HEADER_BYTES

FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of several commits, copied while the database was open."""
    with closing(connect(tmp_path / "live.db")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
        for number in range(5):
            connection.execute("INSERT INTO t (data) VALUES (?)", (bytes([number]) * 3_000,))
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        for number in range(5):  # over the former generation, whose end stays behind
            connection.execute("INSERT INTO t (data) VALUES (?)", (bytes([number]) * 100,))
        for name in ("live.db", "live.db-wal", "live.db-shm"):
            copy = tmp_path / name.replace("live", "copy")
            copy.write_bytes((tmp_path / name).read_bytes())
    return tmp_path / "copy.db-wal"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def test_sound_log_has_only_good_frames_of_its_own_generation(log: Path) -> None:
    scan = scan_wal(log, page_bytes=PAGE_BYTES)
    assert scan.header_good
    assert scan.frames
    assert all(frame.good for frame in scan.frames)
    assert (scan.is_damaged, scan.has_bad_end) == (False, False)
    assert log.stat().st_size > HEADER_BYTES + FRAME_BYTES * len(scan.frames)
    assert scan.frames[-1].size_after > 0


def test_index_says_how_many_frames_were_committed(log: Path) -> None:
    scan = scan_wal(log, page_bytes=PAGE_BYTES)
    shm = log.with_name("copy.db-shm")
    assert committed_frames(shm, log) == len(scan.frames)
    flip(shm, 16)
    assert committed_frames(shm, log) is None


def test_good_frames_after_a_bad_one_are_damage(log: Path) -> None:
    for place in (0, 4, 8, 12, 16, 20, FRAME_HEADER_BYTES, FRAME_BYTES - 1):
        data = log.read_bytes()
        flip(log, HEADER_BYTES + FRAME_BYTES * 2 + place)
        scan = scan_wal(log, page_bytes=PAGE_BYTES)
        assert scan.first_bad == 2, place
        assert scan.is_damaged, place
        log.write_bytes(data)


def test_flip_in_the_header_is_damage(log: Path) -> None:
    for place in range(HEADER_BYTES):
        data = log.read_bytes()
        flip(log, place)
        assert scan_wal(log, page_bytes=PAGE_BYTES).is_damaged, place
        log.write_bytes(data)


def test_bad_last_frame_is_a_bad_end(log: Path) -> None:
    count = len(scan_wal(log, page_bytes=PAGE_BYTES).frames)
    flip(log, HEADER_BYTES + FRAME_BYTES * count - 1)
    scan = scan_wal(log, page_bytes=PAGE_BYTES)
    assert (scan.is_damaged, scan.has_bad_end, scan.first_bad) == (False, True, count - 1)


def test_log_cut_in_a_frame_ends_before_it(log: Path) -> None:
    count = len(scan_wal(log, page_bytes=PAGE_BYTES).frames)
    log.write_bytes(log.read_bytes()[: HEADER_BYTES + FRAME_BYTES * (count - 1) + 500])
    scan = scan_wal(log, page_bytes=PAGE_BYTES)
    assert len(scan.frames) == count - 1
    assert not scan.has_bad_end


@pytest.mark.parametrize("size", [0, 10, HEADER_BYTES])
def test_missing_or_empty_log_is_sound(tmp_path: Path, size: int) -> None:
    path = tmp_path / "none-wal"
    assert scan_wal(path, page_bytes=PAGE_BYTES).frames == ()
    path.write_bytes(bytes(size))
    assert not scan_wal(path, page_bytes=PAGE_BYTES).is_damaged


def test_walk_agrees_with_sqlite_on_every_prefix(log: Path, tmp_path: Path) -> None:
    whole, database = log.read_bytes(), (tmp_path / "copy.db").read_bytes()
    place = tmp_path / "prefix.db"
    for size in range(HEADER_BYTES, len(whole), 300):
        wal = place.with_name("prefix.db-wal")
        place.write_bytes(database)
        wal.write_bytes(whole[:size])
        frames = scan_wal(wal, page_bytes=PAGE_BYTES).frames
        commits = sum(1 for frame in frames if frame.good and frame.size_after)
        with closing(sqlite3.connect(place)) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM t").fetchone()
        assert rows == 5 + commits
