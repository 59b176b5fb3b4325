from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from committed.journal import open_journal
from regions.frames import new_frame, put, stream
from whimbrel_aggregator.journal.wal import FRAME_HEADER_BYTES, HEADER_BYTES, walk

PAGE = 4096
FRAME = FRAME_HEADER_BYTES + PAGE


@pytest.fixture
def log(tmp_path: Path) -> bytes:
    """The log of five commits, as SQLite writes it."""
    path = tmp_path / "plain.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (a)")
    for number in range(4):
        connection.execute("INSERT INTO t VALUES (?)", (bytes([number]) * 9_000,))
    data = path.with_name("plain.db-wal").read_bytes()
    connection.close()
    return data


def test_a_sound_log_is_walked_to_its_end(log: bytes) -> None:
    state = walk(log)
    assert state.frames == (len(log) - HEADER_BYTES) // FRAME
    assert (state.commits, state.bad_frame) == (5, None)
    assert not state.damaged(same_boot=True)


@pytest.mark.parametrize("kept", [0, 10, 32, 5_000, -1, -FRAME])
def test_a_torn_tail_is_no_damage(log: bytes, kept: int) -> None:
    assert not walk(log[:kept]).damaged(same_boot=True)


def test_what_an_older_log_left_behind_is_no_damage(log: bytes) -> None:
    stale = bytearray(log)
    for at in range(HEADER_BYTES + 4 * FRAME, len(log), FRAME):
        stale[at + 8 : at + 16] = b"oldsalts"
    state = walk(bytes(stale))
    assert state.frames == 4
    assert not state.damaged(same_boot=True)


def test_a_flipped_bit_before_the_last_commit_is_damage(log: bytes) -> None:
    draw = random.Random(1)
    frames = walk(log).frames
    for _ in range(60):
        frame = draw.randrange(frames - 5)  # the last commit has up to four frames
        at = HEADER_BYTES + frame * FRAME + draw.randrange(FRAME)
        flipped = bytearray(log)
        flipped[at] ^= 1 << draw.randrange(8)
        state = walk(bytes(flipped))
        assert state.frames == frame
        assert state.damaged(same_boot=True), at


def test_one_commit_behind_may_be_torn_after_a_power_cut(log: bytes) -> None:
    frames = walk(log).frames
    flipped = bytearray(log)
    flipped[HEADER_BYTES + (frames - 3) * FRAME + 100] ^= 1  # within the last commit
    state = walk(bytes(flipped))
    assert state.commits_behind == 1
    assert state.damaged(same_boot=True)
    assert not state.damaged(same_boot=False)


async def test_a_journal_with_a_damaged_log_goes_on_as_a_new_generation(tmp_path: Path) -> None:
    live = await open_journal(tmp_path / "live.db")
    generation = live.generation
    await live.checkpoint()
    for first in range(1, 50, 10):
        await put(live, new_frame(stream(), first, data=random.randbytes(9_000)))
    for suffix in ("", "-wal", ".lock"):
        shutil.copyfile(tmp_path / f"live.db{suffix}", tmp_path / f"copy.db{suffix}")
    await live.close()
    log = tmp_path / "copy.db-wal"
    data = bytearray(log.read_bytes())
    data[HEADER_BYTES + FRAME * 6 + 200] ^= 4
    log.write_bytes(data)
    journal = await open_journal(tmp_path / "copy.db")
    [record] = await journal.streams([stream()])
    assert record is None or record.ranges.high_water < 50
    assert journal.generation != generation
    assert (tmp_path / "copy.db-wal.damaged").read_bytes() == bytes(data)
    second = journal.generation
    await journal.close()
    journal = await open_journal(tmp_path / "copy.db")
    assert journal.generation == second
    await journal.close()


async def test_a_killed_journals_log_is_no_damage(tmp_path: Path) -> None:
    live = await open_journal(tmp_path / "live.db")
    for first in range(1, 50, 10):
        await put(live, new_frame(stream(), first))
    for suffix in ("", "-wal", ".lock"):
        shutil.copyfile(tmp_path / f"live.db{suffix}", tmp_path / f"copy.db{suffix}")
    generation = live.generation
    await live.close()
    journal = await open_journal(tmp_path / "copy.db")
    assert journal.generation == generation
    [record] = await journal.streams([stream()])
    assert record is not None
    assert record.ranges.high_water == 50
    await journal.close()
