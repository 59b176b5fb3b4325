"""A new journal out of a damaged one: what is kept, in which order, and what is asked for again."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from damage.journals import (
    FRAME_EVENTS,
    GENERATION,
    Truth,
    add,
    judge_served,
    leave_journal,
    look,
    open_direct,
    read_all,
    salvage_and_judge,
    sealed,
)
from regions.frames import Device, new_frame
from whimbrel_aggregator.journal.errors import (
    JournalDamagedError,
    JournalError,
    JournalInUseError,
    JournalVersionError,
)
from whimbrel_aggregator.journal.port import (
    Cursor,
    CursorGenerationError,
    EnrolledDevice,
    ParkedRecord,
    PartitionKey,
    RetentionPolicy,
)
from whimbrel_aggregator.journal.salvage import SalvageReport, finish_salvage, salvage_journal
from whimbrel_aggregator.journal.schema import PAGE_SIZE_BYTES
from whimbrel_aggregator.journal.verify import verify_journal
from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.lanes import GapReason

NOW_NS = 1_800_000_000_000_000_000
STORE = PartitionKey("acme", "store-1")
TILL = Device("till-1", store="store-1", seed=0)


@pytest.fixture
async def left(tmp_path: Path) -> tuple[Path, Truth]:
    return await leave_journal(tmp_path, in_log=False)


def change(path: Path, *statements: str) -> list[Any]:
    """Change a journal behind its back; return what the last statement gave."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        found: list[Any] = []
        for statement in statements:
            found = connection.execute(statement).fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return found


def wipe(path: Path, *tables: str) -> None:
    """Fill the root pages of tables with rubbish."""
    names = ", ".join(f"'{name}'" for name in tables)
    roots = change(path, f"SELECT rootpage FROM sqlite_master WHERE name IN ({names})")
    assert len(roots) == len(tables)
    with path.open("r+b") as file:
        for (root,) in roots:
            file.seek((root - 1) * PAGE_SIZE_BYTES)
            file.write(b"\xa5" * PAGE_SIZE_BYTES)


def salvage(path: Path, **options: Any) -> SalvageReport:
    return salvage_journal(path, generation=GENERATION, now_ns=NOW_NS, **options)


async def test_a_sound_journal_comes_out_as_it_was_and_verifies(left: tuple[Path, Truth]) -> None:
    path, truth = left
    out = path.with_name("new.db")
    before = path.read_bytes()
    seen: list[tuple[int, int]] = []
    report = salvage(path, out=out, progress=lambda done, whole: seen.append((done, whole)))
    assert path.read_bytes() == before
    assert (report.frames, report.lost_frames, report.lost_unknown) == (truth.total, 0, 0)
    assert (report.devices, report.streams, report.unsigned) == (4, len(truth.settled), {})
    assert seen[-1] == (truth.total, truth.total)
    assert await look(out, truth) == ""
    verified = verify_journal(out)
    assert [one.what for one in verified.problems if "decode" not in one.what] == []


async def test_every_frame_is_found_when_all_trees_are_gone(left: tuple[Path, Truth]) -> None:
    path, truth = left
    wipe(path, "frames", "frame_index", "partitions", "streams", "meta")
    with pytest.raises(JournalDamagedError, match="salvage"):
        await open_direct(path)
    report, missing = await salvage_and_judge(path, truth)
    assert missing == 0
    assert report.frames == truth.total
    assert report.kept_aside.endswith(".damaged-20270115T080000Z")
    assert report.kept_aside in [str(one) for one in path.parent.iterdir()]


async def test_frames_whose_rows_are_broken_are_found_by_their_signature_and_put_in_order(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    change(path, "UPDATE frames SET received_ns = received_ns + 1 WHERE id % 5 < 2")
    report, missing = await salvage_and_judge(path, truth)
    assert missing == 0
    assert report.without_row > 5
    assert report.conflicts == 0


async def test_without_index_a_frame_without_a_row_goes_before_the_next_of_its_stream(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    change(path, "UPDATE frames SET received_ns = received_ns + 1 WHERE id % 7 = 2")
    wipe(path, "frame_index")
    report = salvage(path)
    assert report.without_row > 5
    journal = await open_direct(path)
    served = await read_all(journal)
    for places in served.order.values():
        for key in {key for key, _ in places}:
            firsts = [first for one, first in places if one == key]
            assert firsts == sorted(firsts)
    assert len(served.frames) == truth.total
    await journal.close()


async def test_an_unknown_key_is_listed_and_its_frames_are_kept_where_their_rows_prove_them(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    wipe(path, "device_keys")
    report, missing = salvage(path), 0
    assert report.frames == truth.total
    assert sorted(report.unsigned) == sorted(
        Device(device.key.device, store=device.key.store, seed=number).key.public.key_id.hex()
        for number, device in enumerate(truth.devices)
    )
    journal = await open_direct(path)
    missing = judge_served(await read_all(journal), truth)
    assert missing == 0
    found = await journal.device(truth.devices[0].key)
    assert found is not None
    assert found.public_keys == ()
    await journal.close()


async def test_a_list_of_devices_proves_frames_and_enrols_what_was_lost(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    wipe(path, "device_keys", "devices")
    report = salvage(path, devices=truth.devices)
    assert report.unsigned == {}
    assert await look(path, truth) == ""


async def test_a_forged_frame_with_a_right_row_is_not_taken(left: tuple[Path, Truth]) -> None:
    path, truth = left
    journal = await open_direct(path)
    stranger = Device("till-1", store="store-1", seed=99)
    forged = sealed(stranger, 1 + 6 * FRAME_EVENTS, size=500)
    own = truth.devices[0]
    both = (*own.public_keys, stranger.key.public.raw)
    await journal.enrol(replace(own, public_keys=both))
    await add(journal, Truth(settled=dict(truth.settled)), [forged])
    await journal.close()
    place = path.read_bytes().find(forged.data[-64:])
    assert place > 0
    assert salvage(path, out=path.with_name("a.db")).frames == truth.total + 1
    data = bytearray(path.read_bytes())
    digest_at = data.find(forged.digest)
    data[place] ^= 1
    path.write_bytes(data)
    report = salvage(path, out=path.with_name("b.db"))
    assert digest_at > 0
    assert (report.frames, report.lost_frames) == (truth.total, 1)


async def test_a_lost_frame_is_asked_for_again_and_nothing_else_is(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    ((rowid,),) = change(path, "SELECT min(id) + 3 FROM frames")
    change(path, f"UPDATE frames SET data = zeroblob(length(data)) WHERE id = {rowid}")
    report, missing = await salvage_and_judge(path, truth)
    assert (missing, report.lost_frames) == (1, 1)
    journal = await open_direct(path)
    holes = 0
    for key, ranges in truth.settled.items():
        (record,) = await journal.streams([key])
        assert record is not None
        holes += ranges.total - record.ranges.total
    assert holes == FRAME_EVENTS
    await journal.close()


async def test_what_retention_deleted_is_neither_served_again_nor_asked_for(
    tmp_path: Path,
) -> None:
    path, truth = await leave_journal(tmp_path, in_log=False)
    journal = await open_direct(path)
    for consumer in await journal.consumers():
        await journal.detach(consumer)
    settled = {key: ranges.copy() for key, ranges in truth.settled.items()}
    late = [
        replace(sealed(TILL, 1 + 6 * FRAME_EVENTS, size=300), received_ns=NOW_NS),
    ]
    await add(journal, truth, late)
    await journal.retain(RetentionPolicy(max_age_ns=1), NOW_NS)
    await journal.close()
    report = salvage(path)
    assert (report.frames, report.lost_frames, report.lost_unknown) == (1, 0, 0)
    journal = await open_direct(path)
    for key, ranges in settled.items():
        (record,) = await journal.streams([key])
        assert record is not None
        assert all(record.ranges.covers(*one) for one in ranges)
    await journal.close()


async def test_cursors_go_to_the_same_frame_and_wait_for_an_operator(tmp_path: Path) -> None:
    path, truth = await leave_journal(tmp_path, in_log=False)
    change(path, "UPDATE frames SET data = x'00' WHERE (id & 255) = 2 AND id >> 40 = 1")
    report = salvage(path)
    assert report.lost_frames == 1
    journal = await open_direct(path)
    (first, _) = truth.frames
    (cursor,) = await journal.cursors()
    assert cursor.cursor.offset == 8  # it was at 9, and one before it is gone
    with pytest.raises(CursorGenerationError):
        await journal.cursor("files", first)
    await journal.rebind("files")
    assert await journal.cursor("files", first) == Cursor(GENERATION, 8)
    await journal.close()


async def test_consumers_go_back_to_a_frame_that_they_could_not_read(tmp_path: Path) -> None:
    path, truth = await leave_journal(tmp_path, in_log=False)
    journal = await open_direct(path)
    (first, _) = truth.frames
    records = (("unreadable", 4, b""), ("unreadable", 2, b""), ("webhook", 3, b"refused"))
    for consumer, offset, body in records:
        record = ParkedRecord(
            consumer=consumer,
            partition=first,
            offset=offset,
            index=-1 if not body else 1,
            event_id="x",
            reason="y",
            parked_ns=1,
            body=body,
        )
        await journal.park([record])
    await journal.close()
    change(path, "UPDATE frames SET data = x'00' WHERE (id & 255) = 2 AND id >> 40 = 1")
    salvage(path)
    journal = await open_direct(path)
    (cursor,) = await journal.cursors()
    assert cursor.cursor.offset == 3  # where the frame is that was the fourth
    lost, kept = await journal.parked()
    assert (lost.consumer, lost.offset) == ("unreadable", -2)  # as it was, and no frame's offset
    assert (kept.consumer, kept.offset, kept.body) == ("webhook", 2, b"refused")
    await journal.close()


async def test_a_removed_device_stays_removed(left: tuple[Path, Truth]) -> None:
    path, truth = left
    journal = await open_direct(path)
    await journal.remove(truth.devices[0].key, 5)
    await journal.close()
    salvage(path, devices=truth.devices)
    journal = await open_direct(path)
    found = await journal.device(truth.devices[0].key)
    assert found is not None
    assert (found.removed_ns, found.public_keys) == (5, ())
    await journal.close()


async def test_forks_keep_their_derived_epoch(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    truth = Truth()
    journal = await open_direct(path)
    await journal.enrol(
        EnrolledDevice(
            key=TILL.device_key,
            region="eu-1",
            public_keys=(TILL.key.public.raw,),
            enrolled_ns=1,
        )
    )
    plain = sealed(TILL, 1, size=600)
    other = sealed(TILL, 1, size=700)
    fork = replace(
        other,
        key=replace(other.key, epoch=fork_epoch(other.digest, ordinal_of(other.key.epoch))),
        fork=True,
    )
    await add(journal, truth, [plain, fork])
    await journal.close()
    change(path, "UPDATE frames SET received_ns = 5")
    report, missing = await salvage_and_judge(path, truth)
    assert (missing, report.without_row, report.conflicts) == (0, 2, 0)


async def test_bytes_of_a_refused_frame_are_kept_by_their_row(left: tuple[Path, Truth]) -> None:
    path, truth = left
    refused = new_frame(TILL.stream(), 1 + 6 * FRAME_EVENTS, 5, count=0, data=b"of version 9")
    refused = replace(refused, reason=int(GapReason.REFUSED))
    journal = await open_direct(path)
    await add(journal, truth, [refused])
    await journal.close()
    report, missing = await salvage_and_judge(path, truth)
    assert (missing, report.frames, report.unsigned) == (0, truth.total, {})


async def test_a_journal_in_use_or_missing_or_there_already_is_left_alone(
    left: tuple[Path, Truth],
) -> None:
    path, _ = left
    with pytest.raises(JournalError, match="does not exist"):
        salvage(path.with_name("nothing.db"))
    with pytest.raises(JournalError, match="exists"):
        salvage(path, out=path)
    journal = await open_direct(path)
    with pytest.raises(JournalInUseError):
        salvage(path)
    await journal.close()


def test_a_file_without_a_journal_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "diary.db"
    path.write_text("dear diary, " * 2_000)
    with pytest.raises(JournalError, match="nothing of a journal"):
        salvage(path)
    other = tmp_path / "other.db"
    change(other, "PRAGMA application_id = 77", "CREATE TABLE mine (a)")
    with pytest.raises(JournalVersionError, match="another program"):
        salvage(other)
    assert sorted(one.name for one in tmp_path.iterdir() if "salvag" in one.name) == []


async def test_a_newer_programs_journal_is_refused(left: tuple[Path, Truth]) -> None:
    path, _ = left
    change(path, "CREATE TABLE news (a)", "PRAGMA user_version = 9")
    with pytest.raises(JournalVersionError, match="newer program"):
        salvage(path)


async def test_a_salvage_that_was_stopped_before_its_end_is_finished_not_opened_over(
    left: tuple[Path, Truth],
) -> None:
    path, truth = left
    salvage(path, out=path.with_name("journal.db.salvaged"))
    path.unlink()  # stopped after it had put the damaged one aside
    with pytest.raises(JournalDamagedError, match="again"):
        await open_direct(path)
    assert not path.exists()
    assert finish_salvage(path, now_ns=NOW_NS) is not None
    assert finish_salvage(path, now_ns=NOW_NS) is None
    assert await look(path, truth) == ""
