"""The file under the journal, and what each module does with its tables."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from regions.frames import START_NS, append_of, new_frame, stream
from whimbrel_aggregator.journal import consumers, dedup, enrolment, reading, retention, writing
from whimbrel_aggregator.journal.errors import (
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalVersionError,
    ParkedFullError,
)
from whimbrel_aggregator.journal.identities import Identities
from whimbrel_aggregator.journal.storage import MAX_WAL_BYTES, Storage
from whimbrel_aggregator.journal.values import (
    OPERATIONS_KEPT,
    Append,
    AppendResult,
    Committed,
    Conflict,
    DeviceKey,
    EnrolledDevice,
    ParkedRecord,
    PartitionKey,
    RetentionPolicy,
)

STORE = PartitionKey("acme", "store-1")
TILL = DeviceKey("acme", "store-1", "till-1")


def storage_in(folder: Path, *, max_bytes: int = 2**30, min_free_bytes: int = 0) -> Storage:
    return Storage(
        folder / "journal.db",
        max_bytes=max_bytes,
        min_free_bytes=min_free_bytes,
        new_generation=b"g" * 8,
    )


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    opened = storage_in(tmp_path)
    yield opened
    opened.close()


def append(storage: Storage, *appends: Append) -> list[AppendResult]:
    return storage.write(lambda db, ids: writing.append_group(db, ids, appends), grows_bytes=1)


def fill(storage: Storage, count: int, *, size: int = 100) -> None:
    for number in range(count):
        frame = new_frame(
            stream(), number * 10 + 1, data=os.urandom(size), received_ns=START_NS + number
        )
        assert append(storage, append_of([frame], head=number)) == [Committed(number + 1)]


def test_a_failed_transaction_leaves_nothing_behind(storage: Storage) -> None:
    def half(db: sqlite3.Connection, ids: Identities) -> None:
        ids.make_stream(stream())
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        storage.write(half)
    assert storage.read(lambda db, ids: ids.stream(stream())) is None
    # ids made inside the lost transaction must not be believed afterwards
    fill(storage, 1)
    assert storage.read(lambda db, ids: ids.stream(stream())) is not None


def test_the_files_are_the_owners_only(storage: Storage) -> None:
    fill(storage, 1)
    for path in storage.path.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_log_stays_bounded_under_load(storage: Storage) -> None:
    log = storage.path.with_name("journal.db-wal")
    longest = 0
    for number in range(70):
        frame = new_frame(stream(), number * 10 + 1, data=os.urandom(1_000_000))
        append(storage, append_of([frame], head=number))
        longest = max(longest, log.stat().st_size)
    assert 0 < longest <= MAX_WAL_BYTES + 3_000_000
    storage.checkpoint()
    assert log.stat().st_size == 0


def test_the_reserve_on_the_disk_is_kept(tmp_path: Path) -> None:
    storage = storage_in(tmp_path, min_free_bytes=2**60)
    with pytest.raises(JournalFullError, match="free some space"):
        fill(storage, 1)
    assert storage.size().room_bytes == 0
    # what frees space may still run
    storage.write(lambda db, ids: consumers.attach(db, "files", 1))
    storage.close()


def test_only_the_newest_operations_are_remembered(storage: Storage) -> None:
    operations = [bytes([number]) * 16 for number in range(OPERATIONS_KEPT + 2)]
    for head, op_id in enumerate(operations):
        frame = new_frame(stream(), head * 10 + 1)
        append(storage, append_of([frame], head=head, op_id=op_id))

    def outcomes(db: sqlite3.Connection, ids: Identities) -> list[AppendResult]:
        row = writing.read_partition(db, ids.make_partition(STORE))
        return [row.outcome(op_id) for op_id in operations]

    found = storage.write(outcomes)
    head = len(operations)
    assert found == [Conflict(head)] * 2 + [Committed(at) for at in range(3, head + 1)]


def test_an_append_must_be_well_formed(storage: Storage) -> None:
    with pytest.raises(JournalError, match="op id of 3 bytes"):
        append(storage, append_of([new_frame(stream(), 1)], head=0, op_id=b"abc"))
    stray = append_of([new_frame(stream(), 1), new_frame(stream(store="store-2"), 1)], head=0)
    with pytest.raises(JournalError, match="does not belong"):
        append(storage, stray)
    fill(storage, 1)


def test_a_row_that_is_gone_is_reported_in_its_place(storage: Storage) -> None:
    fill(storage, 5)
    storage.write(lambda db, ids: db.execute("DELETE FROM frames WHERE id & 255 IN (1, 3, 5)"))
    page = storage.read(
        lambda db, ids: reading.read_page(db, ids, STORE, reading.Wanted(1, 100, 2**20))
    )
    assert [frame.offset for frame in page.frames] == [2, 4]
    assert [lost.offset for lost in page.damaged] == [1, 3, 5]
    assert (page.next_offset, page.at_end) == (6, True)


def test_an_index_that_names_another_frame_is_not_believed(storage: Storage) -> None:
    fill(storage, 2)
    storage.write(lambda db, ids: db.execute("UPDATE frame_index SET position = 2 WHERE first = 1"))
    with pytest.raises(JournalDamagedError, match="not where the index says"):
        storage.read(lambda db, ids: dedup.first_overlapping(db, ids, stream(), 1, 10))


def test_retention_goes_in_bounded_steps(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP_FRAMES", 4)
    fill(storage, 10)
    policy = RetentionPolicy(max_age_ns=2)
    steps = [
        storage.write(
            lambda db, ids: retention.retention_step(db, ids, policy, START_NS + 10)
        ).frames
        for _ in range(4)
    ]
    assert steps == [4, 4, 0, 0]


def test_a_damaged_device_row_is_refused(storage: Storage) -> None:
    device = EnrolledDevice(key=TILL, region="eu-1", public_keys=(b"k" * 32,), enrolled_ns=1)
    storage.write(lambda db, ids: enrolment.enrol(db, ids, device))
    found = storage.read(lambda db, ids: enrolment.get_device(db, ids, TILL))
    assert found is not None
    assert found.public_keys == (b"k" * 32,)
    storage.write(lambda db, ids: db.execute("UPDATE devices SET epoch_floor = 1"))
    with pytest.raises(JournalDamagedError, match=r"till-1 does not match"):
        storage.read(lambda db, ids: enrolment.get_device(db, ids, TILL))


def test_parked_records_are_bounded_in_number(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MAX_PARKED_RECORDS", 3)
    records = [
        ParkedRecord(
            consumer="hook",
            partition=STORE,
            offset=1,
            index=number,
            event_id=str(number),
            reason="no",
            parked_ns=1,
        )
        for number in range(4)
    ]
    with pytest.raises(ParkedFullError, match="3 parked records"):
        storage.write(lambda db, ids: consumers.park(db, ids, records))
    assert storage.read(lambda db, ids: consumers.list_parked(db, None, 0, 10)) == []
    storage.write(lambda db, ids: consumers.park(db, ids, records[:3]))
    assert len(storage.read(lambda db, ids: consumers.list_parked(db, "hook", 0, 10))) == 3


# ------------------------------------------------------------------ the log, before SQLite's turn


def leave_log(folder: Path, *, index: bool = True) -> tuple[Path, bytes]:
    """Leave the log of five commits as a killed process does; return its path and bytes."""
    opened = storage_in(folder / "live")
    opened.checkpoint()
    for number in range(5):
        opened.write(lambda c, _, n=number: consumers.attach(c, f"c{n}", n))  # type: ignore[misc]
    left = folder / "left"
    left.mkdir()
    for ending in ("", "-wal", ".lock", *(["-shm"] if index else [])):
        source = opened.path.with_name(opened.path.name + ending)
        (left / source.name).write_bytes(source.read_bytes())
    opened.close()
    log = left / "journal.db-wal"
    return log, log.read_bytes()


def restart(log: Path) -> None:
    """Make the last holder one of before the machine was restarted."""
    log.with_name("journal.db.lock").write_text("1 another-boot\n")


def flip(log: Path, data: bytes, place: int) -> None:
    damaged = bytearray(data)
    damaged[place] ^= 8
    log.write_bytes(damaged)


def attached(storage: Storage) -> list[str]:
    return storage.read(lambda connection, _: consumers.names(connection))


def test_a_killed_processs_log_is_taken_up_as_it_is(tmp_path: Path) -> None:
    log, _ = leave_log(tmp_path)
    opened = storage_in(log.parent)
    assert opened.generation == b"g" * 8
    assert len(attached(opened)) == 5
    opened.close()


@pytest.mark.parametrize("place", [3, 24, 32 + 4120 * 2 + 100, -4_000])
def test_a_log_that_is_certainly_damaged_is_refused_and_left_as_it_is(
    tmp_path: Path, place: int
) -> None:
    log, data = leave_log(tmp_path)
    flip(log, data, place)
    before = {file.name: file.read_bytes() for file in log.parent.iterdir()}
    with pytest.raises(JournalDamagedError, match="whimbrel-aggregator salvage"):
        storage_in(log.parent)
    after = {file.name: file.read_bytes() for file in log.parent.iterdir()}
    assert {name: data for name, data in after.items() if name != "journal.db.lock"} == {
        name: data for name, data in before.items() if name != "journal.db.lock"
    }


def test_two_commits_behind_a_bad_frame_are_damage_after_a_restart_too(tmp_path: Path) -> None:
    log, data = leave_log(tmp_path, index=False)
    restart(log)
    flip(log, data, 32 + 100)
    with pytest.raises(JournalDamagedError, match="salvage"):
        storage_in(log.parent)


def test_a_bad_end_after_a_restart_is_a_new_generation_that_consumers_follow(
    tmp_path: Path,
) -> None:
    log, data = leave_log(tmp_path)
    restart(log)
    flip(log, data, -100)
    opened = Storage(
        log.with_name("journal.db"), max_bytes=2**30, min_free_bytes=0, new_generation=b"n" * 8
    )
    assert opened.generation == b"n" * 8
    assert attached(opened) == ["c0", "c1", "c2", "c3"]
    opened.close()
    again = storage_in(log.parent)
    assert again.generation == b"n" * 8
    again.close()


def test_what_was_never_committed_is_cut_off_without_a_word(tmp_path: Path) -> None:
    log, data = leave_log(tmp_path)
    log.write_bytes(data + data[32 : 32 + 24] + bytes(4096))  # a frame begun by the killed process
    opened = storage_in(log.parent)
    assert opened.generation == b"g" * 8
    assert len(attached(opened)) == 5
    opened.close()


def test_an_index_that_does_not_lead_to_its_rows_is_found_at_opening(tmp_path: Path) -> None:
    opened = storage_in(tmp_path)
    path = opened.path
    opened.write(lambda c, ids: [ids.make_stream(stream(lane=one)) for one in ("high", "bulk")])
    opened.close()
    with sqlite3.connect(path) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_streams_1'"
        ).fetchone()
    connection.close()
    data = bytearray(path.read_bytes())
    data[root * 4096 - 3] ^= 1  # the lane in the index's first entry
    path.write_bytes(data)
    with pytest.raises(JournalDamagedError, match="streams"):
        storage_in(tmp_path)


def test_a_renamed_column_is_found_at_opening(tmp_path: Path) -> None:
    opened = storage_in(tmp_path)
    opened.close()
    data = opened.path.read_bytes()
    assert b"zones TEXT" in data
    opened.path.write_bytes(data.replace(b"zones TEXT", b"zonez TEXT", 1))
    with pytest.raises(JournalDamagedError, match="tables"):
        storage_in(tmp_path)


@pytest.mark.parametrize("undo", [b"", bytes(512)])
def test_a_file_that_a_power_cut_left_before_its_first_commit_is_a_new_one(
    tmp_path: Path, undo: bytes
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(bytes(4096))
    path.with_name("journal.db-journal").write_bytes(undo)
    storage = storage_in(tmp_path)
    fill(storage, 3)
    storage.close()
    assert not path.with_name("journal.db-journal").exists()


@pytest.mark.parametrize("left", [bytes(4095) + b"x", bytes(128 * 1024)])
def test_a_file_that_holds_anything_or_is_larger_is_not_emptied(
    tmp_path: Path, left: bytes
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(left)
    with pytest.raises(JournalVersionError, match="no SQLite header"):
        storage_in(tmp_path)
    assert path.read_bytes() == left


def test_zeros_beside_a_log_are_not_emptied(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(bytes(4096))
    path.with_name("journal.db-wal").write_bytes(b"something")
    with pytest.raises(JournalVersionError):
        storage_in(tmp_path)
    assert path.read_bytes() == bytes(4096)
