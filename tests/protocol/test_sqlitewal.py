"""The walk over SQLite's own log files: torn ends, flipped bits, former generations."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from whimbrel_protocol.sqlitewal import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    WalScan,
    committed_frames,
    scan_log,
)

PAGE = 4096
FRAME = FRAME_HEADER_BYTES + PAGE


def scan(log: bytes) -> WalScan:
    return scan_log(log, page_bytes=PAGE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A database with a log of five commits, copied while it was open."""
    path = tmp_path / "plain.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (a)")
        for number in range(4):
            connection.execute("INSERT INTO t VALUES (?)", (bytes([number]) * 9_000,))
        for ending in ("", "-wal", "-shm"):
            copy = path.with_name(f"copy.db{ending}")
            copy.write_bytes(path.with_name(path.name + ending).read_bytes())
    return path.with_name("copy.db")


@pytest.fixture
def log(place: Path) -> bytes:
    return place.with_name("copy.db-wal").read_bytes()


def test_a_sound_log_is_walked_to_its_end(log: bytes) -> None:
    found = scan(log)
    assert len(found.frames) == (len(log) - HEADER_BYTES) // FRAME
    assert found.header_good
    assert found.first_bad is None
    assert (found.is_damaged, found.has_bad_end, found.commits_behind) == (False, False, 0)
    assert sum(frame.size_after > 0 for frame in found.frames) == 5


@pytest.mark.parametrize("kept", [0, 10, 32, 5_000, -1, -FRAME])
def test_a_torn_tail_is_no_damage(log: bytes, kept: int) -> None:
    assert not scan(log[:kept]).is_damaged


def test_what_an_older_log_left_behind_is_no_damage(log: bytes) -> None:
    stale = bytearray(log)
    for at in range(HEADER_BYTES + 4 * FRAME, len(log), FRAME):
        stale[at + 8 : at + 16] = b"oldsalts"
    found = scan(bytes(stale))
    assert len(found.frames) == 4
    assert not found.is_damaged


def test_room_that_was_taken_in_advance_is_no_log(log: bytes) -> None:
    room = bytes(20 * FRAME)
    assert scan(log + room) == scan(log)
    empty = scan(bytes(HEADER_BYTES) + room)
    assert (empty.frames, empty.is_damaged, empty.has_bad_end) == ((), False, False)
    assert empty.commits_behind == 0


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_damaged_header_before_few_frames_and_much_room_is_found(log: bytes, frames: int) -> None:
    short = log[: HEADER_BYTES + frames * FRAME] + bytes(20 * FRAME)
    sound = scan(short)
    assert len(sound.frames) == frames
    for bit in range(HEADER_BYTES * 8):
        flipped = bytearray(short)
        flipped[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(flipped))
        assert not found.header_good
        assert len(found.frames) == frames
        assert found.is_damaged or found.has_bad_end, bit


def test_every_flipped_bit_before_the_last_commit_is_damage(log: bytes) -> None:
    draw = random.Random(1)
    frames = len(scan(log).frames)
    for _ in range(60):
        frame = draw.randrange(frames - 5)  # the last commit has up to four frames
        at = HEADER_BYTES + frame * FRAME + draw.randrange(FRAME)
        flipped = bytearray(log)
        flipped[at] ^= 1 << draw.randrange(8)
        found = scan(bytes(flipped))
        assert found.first_bad == frame
        assert found.is_damaged
        assert found.commits_behind >= 1, at
        assert [one.number for one in found.frames if not one.good] == [frame]


def test_every_flipped_bit_of_the_header_is_damage(log: bytes) -> None:
    for bit in range(HEADER_BYTES * 8):
        flipped = bytearray(log)
        flipped[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(flipped))
        assert found.is_damaged, bit
        assert found.commits_behind >= 4, bit


def test_a_flip_in_the_last_commit_leaves_one_behind_it(log: bytes) -> None:
    frames = len(scan(log).frames)
    flipped = bytearray(log)
    flipped[HEADER_BYTES + (frames - 3) * FRAME + 100] ^= 1
    found = scan(bytes(flipped))
    assert found.commits_behind == 1
    assert not found.has_bad_end
    flipped = bytearray(log)
    flipped[-5] ^= 1
    found = scan(bytes(flipped))
    assert (found.commits_behind, found.has_bad_end, found.is_damaged) == (0, True, False)


def test_the_index_says_how_many_frames_were_committed(place: Path, log: bytes) -> None:
    index = place.with_name("copy.db-shm").read_bytes()
    assert committed_frames(index, log) == len(scan(log).frames)
    assert committed_frames(index[:50], log) is None
    assert committed_frames(bytes([index[0] ^ 1]) + index[1:], log) is None
    assert committed_frames(index, log[:16] + b"othersal" + log[24:]) is None


def test_the_walk_agrees_with_sqlite_on_every_prefix(place: Path, log: bytes) -> None:
    database = place.read_bytes()
    for size in range(HEADER_BYTES, len(log), 700):
        place.write_bytes(database)
        place.with_name("copy.db-wal").write_bytes(log[:size])
        place.with_name("copy.db-shm").unlink(missing_ok=True)
        frames = scan(log[:size]).frames
        commits = sum(1 for frame in frames if frame.good and frame.size_after)
        with closing(sqlite3.connect(place)) as connection:
            try:
                (rows,) = connection.execute("SELECT count(*) FROM t").fetchone()
            except sqlite3.OperationalError:  # the table itself is in the log
                rows = -1
        assert rows == commits - 1
