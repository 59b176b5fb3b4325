"""What only the embedded journal promises: kills, full disks, damage, size, memory."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from committed.journal import open_journal
from regions.frames import append_of, new_frame, put, stream
from servers.missing import missing
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import (
    Committed,
    DamagedFrame,
    JournalDamagedError,
    JournalFullError,
    JournalVersionError,
    PartitionKey,
    StreamKey,
    Unknown,
)
from whimbrel_aggregator.journal.runner import DirectRunner, ThreadRunner
from whimbrel_aggregator.journal.schema import SCHEMA_VERSION
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.sequences import RangeSet

STORE = PartitionKey("acme", "store-1")
CHILD = Path(__file__).with_name("appending_child.py")


async def settled(journal: SqliteJournal) -> RangeSet:
    [record] = await journal.streams([stream()])
    return RangeSet() if record is None else record.ranges


def append_until_killed(path: Path, first: int) -> int:
    """Run a child that appends, kill it at some moment; return the last number it confirmed."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(path), str(first)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    acknowledged = first - 1
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged = int(line)
            if random.random() < 0.1:
                break
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:  # confirmed while the kill was on its way
            acknowledged = int(line)
    return acknowledged


async def test_what_was_acknowledged_before_a_kill_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    random.seed(7)
    acknowledged = 0
    for _ in range(6):
        acknowledged = append_until_killed(path, acknowledged + 1)
        journal = await open_journal(path)
        ranges = await settled(journal)
        assert list(ranges) == [(1, ranges.last)]
        assert ranges.last >= acknowledged
        sequences = []
        offset, at_end = 1, False
        while not at_end:
            page = await journal.read(STORE, offset)
            assert not page.damaged
            sequences += [frame.first for frame in page.frames]
            offset, at_end = page.next_offset, page.at_end
        assert sequences == list(range(1, ranges.last + 1))
        acknowledged = ranges.last
        await journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        missing(f"a small file system needs root: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_full_disk_refuses_cleanly_and_recovers_without_a_restart(small_disk: Path) -> None:
    journal = await SqliteJournal.open(
        JournalConfig(path=small_disk / "journal.db", max_bytes=2**30, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=ThreadRunner("write"),
        reader=ThreadRunner("read"),
    )
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 2**20))
    first = 1
    with pytest.raises(JournalFullError, match="disk"):
        while True:
            await put(journal, new_frame(stream(), first, 1, data=random.randbytes(50_000)))
            first += 1
    assert (await settled(journal)).high_water == first - 1
    assert (await journal.size()).room_bytes < 200_000
    ballast.unlink()
    assert (await journal.size()).room_bytes > 200_000
    result = await put(journal, new_frame(stream(), first, 1, data=random.randbytes(50_000)))
    assert result == Committed(first)
    page = await journal.read(STORE, 1, limit_bytes=2**30)
    assert len(page.frames) == first
    await journal.close()
    assert not [p for p in verify_journal(small_disk / "journal.db").problems if p.where == "file"]


async def test_a_disk_that_fills_in_the_middle_of_a_commit_loses_nothing_acknowledged(
    small_disk: Path,
) -> None:
    """SQLite itself meets the full disk here, since the room that was checked vanishes."""
    journal = await open_journal(small_disk / "journal.db")
    storage = journal._storage
    storage._check_room = lambda needed: None  # type: ignore[method-assign]
    first = 1
    with pytest.raises(JournalFullError):
        while True:
            result = await put(
                journal, new_frame(stream(), first, 1, data=random.randbytes(90_000))
            )
            assert isinstance(result, Committed)
            first += 1
    assert (await settled(journal)).high_water == first - 1
    page = await journal.read(STORE, 1, limit_bytes=2**30)
    assert len(page.frames) == first - 1
    await journal.close()


async def test_an_append_whose_commit_failed_is_in_doubt_and_then_read_back(
    tmp_path: Path,
) -> None:
    journal = await open_journal(tmp_path / "journal.db")
    await put(journal, new_frame(stream(), 1))
    storage = journal._storage

    class Failing:
        """Commits, then says that it failed: as a lost answer of the disk would."""

        def __init__(self, inner: sqlite3.Connection) -> None:
            self._inner = inner

        def execute(self, statement: str, values: tuple[object, ...] = ()) -> object:
            done = self._inner.execute(statement, values)
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return done

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    assert storage._writer is not None
    storage._writer = Failing(storage._writer)  # type: ignore[assignment]
    append = append_of([new_frame(stream(), 11)], head=1, settled={stream(): RangeSet([(1, 10)])})
    [result] = await journal.append([append])
    assert isinstance(result, Unknown)
    assert await journal.outcome(STORE, append.op_id) == Committed(2)
    assert (await settled(journal)).high_water == 20
    assert await put(journal, new_frame(stream(), 21)) == Committed(3)
    await journal.close()


async def test_a_flipped_bit_costs_at_most_its_frame_and_is_never_served(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await open_journal(path)
    bodies = {first: random.Random(first).randbytes(3_000) for first in range(1, 200, 10)}
    for first, body in bodies.items():
        await put(journal, new_frame(stream(), first, data=body))
    await journal.close()
    sound = path.read_bytes()
    assert not [p for p in verify_journal(path).problems if p.where == "file"]
    draw = random.Random(5)
    served = damaged = refused = 0
    for _ in range(250):
        flipped = bytearray(sound)
        at = draw.randrange(len(flipped) * 8)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        try:
            journal = await SqliteJournal.open(
                JournalConfig(path=path, min_free_bytes=0),
                clock=SystemClock(),
                random=random.Random(),
                writer=DirectRunner(),
                reader=DirectRunner(),
            )
        except (JournalDamagedError, JournalVersionError):
            refused += 1
            continue
        try:
            page = await journal.read(STORE, 1)
        except JournalDamagedError:
            refused += 1
        else:
            for frame in page.frames:
                assert bodies[frame.first] == frame.data
                assert frame.key == stream()
            served += len(page.frames)
            damaged += len(page.damaged)
            assert all(isinstance(one, DamagedFrame) for one in page.damaged)
            assert len(page.frames) + len(page.damaged) in (20, 0)
        finally:
            await journal.close()
    assert served > damaged > 0
    assert refused < 50


async def test_ranges_that_were_changed_on_disk_are_refused_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await open_journal(path)
    await put(journal, new_frame(stream(), 1))
    await journal.close()
    connection = sqlite3.connect(path)
    (column,) = connection.execute("SELECT ranges FROM streams").fetchone()
    connection.execute("UPDATE streams SET ranges = ?", (bytes([column[0] ^ 1]) + column[1:],))
    connection.commit()
    connection.close()
    journal = await open_journal(path)
    with pytest.raises(JournalDamagedError, match="checksum"):
        await journal.streams([stream()])
    await journal.close()


async def test_a_newer_schema_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await open_journal(path)
    await journal.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalVersionError, match="newer program"):
        await open_journal(path)
    assert path.read_bytes() == before


async def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("dear diary, " * 50)
    with pytest.raises(JournalVersionError, match="not a journal"):
        await open_journal(path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalVersionError, match="another program"):
        await open_journal(path)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_forty_thousand_streams_stay_small_and_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = await open_journal(path)
    keys = [
        StreamKey("acme", f"store-{number % 100}", f"till-{number // 100 % 200}", epoch, "normal")
        for number in range(20_000)
        for epoch in (make_epoch(1, number), make_epoch(2, number))
    ]
    frames_each = 5
    stores: dict[PartitionKey, list[StreamKey]] = {}
    for key in keys:
        stores.setdefault(key.partition, []).append(key)
    for partition, own in stores.items():
        for round_ in range(frames_each):
            [head] = await journal.heads([partition])
            frames = [new_frame(key, round_ * 10 + 1, data=b"x") for key in own]
            settled = {key: RangeSet([(1, round_ * 10)] if round_ else []) for key in own}
            await journal.append([append_of(frames, head=head, settled=settled)])
    await journal.close()
    copy = tmp_path / "dedup.db"
    shutil.copyfile(path, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("DROP TABLE frames")
    connection.execute("VACUUM")
    packed = copy.stat().st_size
    connection.close()
    connection = sqlite3.connect(path)
    pages = connection.execute(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN ('streams', 'frame_index', "
        "'sqlite_autoindex_streams_1', 'devices', 'sqlite_autoindex_devices_1', 'partitions')"
    ).fetchone()[0]
    connection.close()
    limit = 200 * len(keys) + 16 * frames_each * len(keys)
    assert packed <= limit
    assert pages <= limit
    journal = await open_journal(path)
    draw = random.Random(1)
    for key in draw.sample(keys, 500):
        [record] = await journal.streams([key])
        assert record is not None
        assert list(record.ranges) == [(1, frames_each * 10)]
    await journal.close()


async def test_a_cancelled_append_leaves_no_stale_state_in_memory(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "journal.db")
    await put(journal, new_frame(stream(), 1))
    task = asyncio.get_running_loop().create_task(
        journal.append(
            [append_of([new_frame(stream(), 11)], head=1, settled={stream(): RangeSet([(1, 10)])})]
        ),
        name="append",
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # whether it took place or not: what the journal says next is what is on disk
    [head] = await journal.heads([STORE])
    frames = (await journal.read(STORE, 1)).frames
    assert len(frames) == head
    assert (await settled(journal)).high_water == head * 10
    await journal.close()
