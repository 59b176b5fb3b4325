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


def storage_in(folder: Path, **bounds: int) -> Storage:
    given = {"max_bytes": 2**30, "min_free_bytes": 0, **bounds}
    return Storage(folder / "journal.db", new_generation=b"g" * 8, **given)


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
