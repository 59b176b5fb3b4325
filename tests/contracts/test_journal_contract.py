"""What every journal keeps. An engine joins by adding itself to ``JOURNALS``."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from regions.frames import EPOCH, START_NS, append_of, new_frame, put, stream
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.backup import restore_backup
from whimbrel_aggregator.journal.dictionaries import MAX_LEARNED, MAX_NEEDED
from whimbrel_aggregator.journal.port import (
    Committed,
    Conflict,
    Cursor,
    CursorGenerationError,
    DeviceKey,
    DeviceUpdate,
    EnrolledDevice,
    Journal,
    JournalError,
    JournalFullError,
    NewFrame,
    ParkedFullError,
    ParkedRecord,
    PartitionKey,
    RetentionPolicy,
    StreamKey,
    UnknownConsumerError,
)
from whimbrel_aggregator.journal.runner import DirectRunner, ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.journal.writing import NAMED_AHEAD
from whimbrel_protocol.dictionaries import dictionary_name
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.sequences import RangeSet

Opener = Callable[[Path, int], Awaitable[Journal]]
STORE = PartitionKey("acme", "store-1")
FAR = PartitionKey("acme", "store-2")


async def open_in_threads(folder: Path, max_bytes: int) -> Journal:
    return await SqliteJournal.open(
        JournalConfig(path=folder / "journal.db", max_bytes=max_bytes, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=ThreadRunner("write"),
        reader=ThreadRunner("read"),
    )


async def open_directly(folder: Path, max_bytes: int) -> Journal:
    return await SqliteJournal.open(
        JournalConfig(path=folder / "journal.db", max_bytes=max_bytes, min_free_bytes=0),
        clock=SystemClock(),
        random=random.Random(),
        writer=DirectRunner(),
        reader=DirectRunner(),
    )


JOURNALS: dict[str, Opener] = {"sqlite": open_in_threads, "sqlite-direct": open_directly}
ROOMY = 2**30


@pytest.fixture(params=list(JOURNALS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return JOURNALS[request.param]


@pytest.fixture
async def journal(opener: Opener, tmp_path: Path) -> AsyncIterator[Journal]:
    opened = await opener(tmp_path, ROOMY)
    yield opened
    await opened.close()


# ---- dictionaries

TILL_1 = DeviceKey("acme", "store-1", "till-1")


def _named(first: int, content: bytes, *, key: StreamKey | None = None) -> NewFrame:
    return replace(new_frame(key or stream(), first), dictionary=dictionary_name(content))


async def test_a_dictionary_is_there_after_a_restart_for_its_device_only(
    opener: Opener, tmp_path: Path
) -> None:
    first = await opener(tmp_path, ROOMY)
    assert await first.keep_dictionary(TILL_1, b"content", needed=False)
    assert await first.keep_dictionary(TILL_1, b"content", needed=False)
    await first.close()
    again = await opener(tmp_path, ROOMY)
    name = dictionary_name(b"content")
    other = DeviceKey("acme", "store-1", "till-2")
    wanted = [(TILL_1, name), (other, name), (TILL_1, b"another.")]
    assert await again.dictionaries(wanted) == [b"content", None, None]
    await again.close()


async def test_a_frame_that_names_a_dictionary_that_is_not_kept_is_refused(
    journal: Journal,
) -> None:
    await journal.keep_dictionary(DeviceKey("acme", "store-1", "till-2"), b"content", needed=False)
    with pytest.raises(JournalError, match=dictionary_name(b"content").hex()):
        await put(journal, _named(1, b"content"))
    assert await journal.heads([STORE]) == [0]
    await journal.keep_dictionary(TILL_1, b"content", needed=False)
    assert isinstance(await put(journal, _named(1, b"content")), Committed)


async def test_dictionaries_of_a_device_are_bounded_and_unnamed_ones_make_room(
    journal: Journal,
) -> None:
    contents = [b"content %d" % number for number in range(MAX_LEARNED)]
    for content in contents:
        assert await journal.keep_dictionary(TILL_1, content, needed=False)
    await put(journal, *(_named(1 + 10 * at, one) for at, one in enumerate(contents) if at != 5))
    assert await journal.keep_dictionary(TILL_1, b"one more", needed=False)
    names = [(TILL_1, dictionary_name(one)) for one in contents]
    assert [at for at, one in enumerate(await journal.dictionaries(names)) if one is None] == [5]
    await put(journal, _named(51, b"one more"))
    assert not await journal.keep_dictionary(TILL_1, b"no room", needed=False)
    assert await journal.keep_dictionary(TILL_1, b"one more", needed=False)
    other = DeviceKey("acme", "store-1", "till-2")
    assert await journal.keep_dictionary(other, b"no room", needed=False)


async def test_frames_that_wait_find_room_for_their_dictionary(journal: Journal) -> None:
    contents = [b"content %d" % number for number in range(MAX_NEEDED)]
    for at, content in enumerate(contents):
        assert await journal.keep_dictionary(TILL_1, content, needed=at >= MAX_LEARNED)
        await put(journal, _named(1 + 10 * at, content))
    assert not await journal.keep_dictionary(TILL_1, b"no room", needed=True)


async def test_dictionaries_go_when_retention_has_passed_their_frames(journal: Journal) -> None:
    contents = [b"content %d" % number for number in range(MAX_LEARNED)]
    for at, content in enumerate(contents):
        await journal.keep_dictionary(TILL_1, content, needed=False)
        await put(journal, _named(1 + 10 * at, content))
    # frames may name one up to NAMED_AHEAD offsets behind the first that did
    later = NAMED_AHEAD + 40
    for start in range(0, later, 100):
        frames = [_named(1001 + 10 * (start + n), contents[-1]) for n in range(100)]
        await put(journal, *frames)
    assert not await journal.keep_dictionary(TILL_1, b"one more", needed=False)
    old = RetentionPolicy(max_age_ns=1, keep_bytes=None)
    await journal.retain(old, START_NS + 10**9)
    assert await journal.keep_dictionary(TILL_1, b"one more", needed=False)
    names = [(TILL_1, dictionary_name(one)) for one in contents]
    assert [at for at, one in enumerate(await journal.dictionaries(names)) if one is None] == [0]


async def test_a_full_journal_takes_no_dictionary(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path, 300_000)
    with pytest.raises(JournalFullError):
        for number in range(MAX_LEARNED):
            content = random.Random(number).randbytes(32_000)
            assert await journal.keep_dictionary(TILL_1, content, needed=False)
    await journal.close()


async def test_a_backup_has_the_dictionaries(
    journal: Journal, opener: Opener, tmp_path: Path
) -> None:
    await journal.keep_dictionary(TILL_1, b"content", needed=False)
    await journal.backup(str(tmp_path / "copy"))
    (tmp_path / "restored").mkdir()
    restore_backup(tmp_path / "copy", tmp_path / "restored" / "journal.db")
    restored = await opener(tmp_path / "restored", ROOMY)
    assert restored.generation != journal.generation
    assert await restored.dictionaries([(TILL_1, dictionary_name(b"content"))]) == [b"content"]
    await restored.close()


# ---- appending


async def test_an_append_moves_the_head_and_is_read_back_in_order(journal: Journal) -> None:
    key = stream()
    assert await put(journal, new_frame(key, 1), new_frame(key, 11)) == Committed(2)
    assert await put(journal, new_frame(key, 21, zones=("bakery", "cold"))) == Committed(3)
    page = await journal.read(STORE, 1)
    assert [frame.first for frame in page.frames] == [1, 11, 21]
    assert [frame.offset for frame in page.frames] == [1, 2, 3]
    assert page.frames[2].zones == ("bakery", "cold")
    assert page.frames[0].key == key
    assert (page.next_offset, page.at_end, page.damaged) == (4, True, ())


async def test_an_append_upon_another_head_changes_nothing(journal: Journal) -> None:
    key = stream()
    await put(journal, new_frame(key, 1))
    [result] = await journal.append([append_of([new_frame(key, 11)], head=0)])
    assert result == Conflict(1)
    assert await journal.heads([STORE]) == [1]
    [record] = await journal.streams([key])
    assert record is not None
    assert list(record.ranges) == [(1, 10)]


async def test_a_conflict_in_one_partition_leaves_the_others_alone(journal: Journal) -> None:
    near, far = stream(), stream(store="store-2")
    results = await journal.append(
        [append_of([new_frame(near, 1)], head=5), append_of([new_frame(far, 1)], head=0)]
    )
    assert results == [Conflict(0), Committed(1)]
    assert await journal.heads([STORE, FAR]) == [0, 1]


async def test_one_partition_may_not_come_twice_in_a_group(journal: Journal) -> None:
    key = stream()
    with pytest.raises(JournalError, match="twice"):
        await journal.append(
            [append_of([new_frame(key, 1)], head=0), append_of([new_frame(key, 11)], head=1)]
        )
    assert await journal.heads([STORE]) == [0]


async def test_the_outcome_of_an_append_is_read_back_by_its_operation(journal: Journal) -> None:
    key, op_id = stream(), b"o" * 16
    await journal.append([append_of([new_frame(key, 1)], head=0, op_id=op_id)])
    await put(journal, new_frame(key, 11))
    assert await journal.outcome(STORE, op_id) == Committed(1)
    assert await journal.outcome(STORE, b"x" * 16) == Conflict(2)
    assert await journal.outcome(FAR, b"x" * 16) == Conflict(0)


async def test_frames_and_dedup_state_survive_closing(opener: Opener, tmp_path: Path) -> None:
    first = await opener(tmp_path, ROOMY)
    generation = first.generation
    await put(first, new_frame(stream(), 1), new_frame(stream(), 21))
    await first.close()
    second = await opener(tmp_path, ROOMY)
    assert second.generation == generation
    [record] = await second.streams([stream()])
    assert record is not None
    assert list(record.ranges) == [(1, 10), (21, 30)]
    assert len((await second.read(STORE, 1)).frames) == 2
    await second.close()


async def test_a_second_opener_is_refused_and_told_who_holds_it(
    opener: Opener, journal: Journal, tmp_path: Path
) -> None:
    with pytest.raises(JournalError, match=r"in use by process \d+"):
        await opener(tmp_path, ROOMY)


async def test_nothing_is_appended_beyond_the_byte_cap(opener: Opener, tmp_path: Path) -> None:
    journal = await opener(tmp_path, 4 * 2**20)
    first = 1
    with pytest.raises(JournalFullError, match="max_bytes"):
        for _ in range(200):
            await put(journal, new_frame(stream(), first, data=random.randbytes(60_000)))
            first += 10
    size = await journal.size()
    assert size.used_bytes <= size.max_bytes
    assert size.room_bytes < 100_000
    [head] = await journal.heads([STORE])
    [record] = await journal.streams([stream()])
    assert record is not None
    assert record.ranges.high_water == head * 10
    await journal.retain(RetentionPolicy(keep_bytes=2**20), START_NS)
    assert await put(journal, new_frame(stream(), first)) == Committed(head + 1)
    await journal.close()


# ---- dedup state and the index


async def test_streams_and_heads_that_are_not_known_are_empty(journal: Journal) -> None:
    assert await journal.streams([stream()]) == [None]
    assert await journal.heads([STORE]) == [0]
    assert await journal.find([(stream(), 1, 5)]) == [None]
    assert (await journal.device_states([DeviceKey("acme", "store-1", "till-1")]))[0].streams == 0


async def test_a_kept_frame_is_found_by_any_sequence_it_covers(journal: Journal) -> None:
    key = stream()
    await put(journal, new_frame(key, 1), new_frame(key, 11, count=0))
    exact, inside, across, gap, none = await journal.find(
        [(key, 1, 10), (key, 4, 4), (key, 9, 30), (key, 12, 13), (key, 21, 99)]
    )
    assert exact is not None
    assert exact == inside == across
    assert (exact.first, exact.span, exact.count, exact.reason) == (1, 10, 10, 0)
    assert gap is not None
    assert (gap.first, gap.count, gap.reason) == (11, 0, 1)
    assert none is None


async def test_the_frame_that_ends_at_a_sequence_is_found(journal: Journal) -> None:
    key = stream()
    frame = new_frame(key, 1)
    await put(journal, frame)
    at_end, inside, beyond = await journal.ending_at([(key, 10), (key, 9), (key, 11)])
    assert at_end is not None
    assert at_end.digest == frame.digest
    assert inside is None
    assert beyond is None


async def test_a_devices_state_changes_with_an_append(journal: Journal) -> None:
    key = stream()
    update = DeviceUpdate(key=key.device_key, forks=2, seen_ns=START_NS)
    append = replace(append_of([new_frame(key, 1)], head=0), devices=(update,))
    await journal.append([append])
    [state] = await journal.device_states([key.device_key])
    assert (state.forks, state.seen_ns, state.streams, state.newest_ordinal) == (2, START_NS, 1, 1)


async def test_folding_raises_the_floor_and_never_takes_the_newest_epoch(journal: Journal) -> None:
    for ordinal in range(1, 11):
        await put(journal, new_frame(stream(epoch=make_epoch(ordinal, 5)), 1))
    device = stream().device_key
    floor = await journal.fold(device, 4)
    assert floor == make_epoch(7, 0)
    [state] = await journal.device_states([device])
    assert (state.streams, state.epoch_floor) == (4, floor)
    assert await journal.fold(device, 0) == make_epoch(10, 0)
    # frames of folded epochs are still kept, so what they settled is still known
    [record] = await journal.streams([stream(epoch=make_epoch(1, 5))])
    assert record is not None
    await journal.retain(RetentionPolicy(max_age_ns=0), START_NS + 1)
    assert await journal.streams([stream(epoch=make_epoch(1, 5))]) == [None]
    [newest] = await journal.streams([stream(epoch=make_epoch(10, 5))])
    assert newest is not None


# ---- reading


async def test_reading_is_bounded_and_goes_on_where_it_stopped(journal: Journal) -> None:
    key = stream()
    await put(
        journal, *(new_frame(key, first, data=bytes([first]) * 100) for first in range(1, 91, 10))
    )
    page = await journal.read(STORE, 1, limit_frames=4)
    assert (len(page.frames), page.next_offset, page.at_end) == (4, 5, False)
    page = await journal.read(STORE, page.next_offset, limit_bytes=250)
    assert (len(page.frames), page.next_offset) == (3, 8)
    page = await journal.read(STORE, page.next_offset, limit_bytes=1)
    assert (len(page.frames), page.next_offset, page.at_end) == (1, 9, False)
    page = await journal.read(STORE, page.next_offset)
    assert (len(page.frames), page.at_end) == (1, True)
    page = await journal.read(STORE, page.next_offset)
    assert (page.frames, page.next_offset, page.at_end) == ((), 10, True)


async def test_a_time_window_leaves_frames_out_and_passes_them(journal: Journal) -> None:
    key = stream()
    await put(journal, *(new_frame(key, first) for first in (1, 11, 21, 31)))
    page = await journal.read(STORE, 1, since_ns=START_NS + 15, until_ns=START_NS + 31)
    assert [frame.first for frame in page.frames] == [11, 21]
    assert page.next_offset == 5


async def test_an_offset_is_found_by_receive_time_and_time_never_steps_back(
    journal: Journal,
) -> None:
    key = stream()
    for number, received in enumerate((100, 200, 150, 400)):
        await put(journal, new_frame(key, number * 10 + 1, received_ns=received))
    assert [frame.received_ns for frame in (await journal.read(STORE, 1)).frames] == [
        100,
        200,
        200,
        400,
    ]
    assert [await journal.offset_at(STORE, at) for at in (0, 100, 101, 200, 300, 401)] == [
        1,
        1,
        2,
        2,
        4,
        5,
    ]
    assert await journal.offset_at(FAR, 5) == 1


async def test_partitions_are_listed_with_their_bounds(journal: Journal) -> None:
    await put(journal, new_frame(stream(store="store-2"), 1))
    await put(journal, new_frame(stream(), 1), new_frame(stream(), 11))
    assert [(state.key, state.oldest, state.head) for state in await journal.partitions()] == [
        (STORE, 1, 2),
        (FAR, 1, 1),
    ]


async def test_waiting_ends_with_a_commit_or_with_the_time(journal: Journal) -> None:
    assert not await journal.wait_beyond(STORE, 1, 0.01)
    seen = await journal.wait_any(-1, 5)
    async with asyncio.TaskGroup() as tasks:
        beyond = tasks.create_task(journal.wait_beyond(STORE, 1, 30))
        moved = tasks.create_task(journal.wait_any(seen, 30))
        await put(journal, new_frame(stream(), 1))
    assert beyond.result()
    assert moved.result() != seen
    assert await journal.wait_any(moved.result(), 0.01) == moved.result()


# ---- consumers


async def test_a_consumer_that_is_not_attached_has_no_cursor(journal: Journal) -> None:
    with pytest.raises(UnknownConsumerError, match="attach it first"):
        await journal.cursor("files", STORE)
    with pytest.raises(UnknownConsumerError):
        await journal.put_cursor("files", STORE, Cursor(journal.generation, 1))


async def test_a_cursor_starts_at_the_start_and_never_goes_back(journal: Journal) -> None:
    await journal.attach("files")
    await put(journal, *(new_frame(stream(), first) for first in (1, 11, 21)))
    assert await journal.cursor("files", STORE) == Cursor(journal.generation, 1)
    await journal.put_cursor("files", STORE, Cursor(journal.generation, 3))
    await journal.put_cursor("files", STORE, Cursor(journal.generation, 2))
    assert await journal.cursor("files", STORE) == Cursor(journal.generation, 3)
    [listed] = await journal.cursors()
    assert (listed.consumer, listed.partition, listed.lag_frames) == ("files", STORE, 1)
    with pytest.raises(JournalError, match="beyond the end"):
        await journal.put_cursor("files", STORE, Cursor(journal.generation, 5))


async def test_a_cursor_of_another_generation_is_refused_until_it_is_rebound(
    opener: Opener, tmp_path: Path
) -> None:
    journal = await opener(tmp_path, ROOMY)
    await journal.attach("files")
    await put(journal, new_frame(stream(), 1))
    old = Cursor(journal.generation, 2)
    await journal.put_cursor("files", STORE, old)
    await journal.backup(str(tmp_path / "copy.db"))
    await journal.close()
    restore_backup(tmp_path / "copy.db", tmp_path / "journal.db", replace=True)
    journal = await opener(tmp_path, ROOMY)
    assert journal.generation != old.generation
    with pytest.raises(CursorGenerationError, match="restored"):
        await journal.cursor("files", STORE)
    with pytest.raises(CursorGenerationError):
        await journal.put_cursor("files", STORE, old)
    await journal.rebind("files")
    assert await journal.cursor("files", STORE) == Cursor(journal.generation, 2)
    await journal.rebind("files", offset=1)
    assert await journal.cursor("files", STORE) == Cursor(journal.generation, 1)
    await journal.close()


async def test_parked_records_are_kept_once_and_cleared_by_id(journal: Journal) -> None:
    record = ParkedRecord(
        consumer="hook",
        partition=STORE,
        offset=1,
        index=4,
        event_id="e-1",
        reason="400: no such shop",
        parked_ns=START_NS,
        body=b"{}",
    )
    await journal.park([record, record])
    [kept] = await journal.parked()
    assert (kept.event_id, kept.index, kept.body) == ("e-1", 4, b"{}")
    assert await journal.parked("other") == []
    assert await journal.unpark([kept.id, kept.id + 1]) == 1
    assert await journal.parked("hook") == []


async def test_a_consumer_has_a_bounded_number_of_parked_bytes(journal: Journal) -> None:
    body = bytes(8 * 2**20)
    with pytest.raises(ParkedFullError, match="clear them"):
        for number in range(9):
            await journal.park(
                [
                    ParkedRecord(
                        consumer="hook",
                        partition=STORE,
                        offset=number + 1,
                        index=0,
                        event_id="",
                        reason="no",
                        parked_ns=1,
                        body=body,
                    )
                ]
            )


# ---- retention


async def test_retention_by_age_stops_at_the_cursor_and_says_whose_it_is(journal: Journal) -> None:
    key = stream()
    for number in range(6):
        await put(journal, new_frame(key, number * 10 + 1, received_ns=START_NS + number * 100))
    await journal.attach("slow")
    await journal.attach("quick")
    await journal.put_cursor("quick", STORE, Cursor(journal.generation, 7))
    policy = RetentionPolicy(max_age_ns=100)
    result = await journal.retain(policy, START_NS + 500)
    assert (result.frames, result.held_by) == (0, ("slow",))
    await journal.put_cursor("slow", STORE, Cursor(journal.generation, 3))
    result = await journal.retain(policy, START_NS + 500)
    assert (result.frames, result.held_by) == (2, ("slow",))
    await journal.detach("slow")
    result = await journal.retain(policy, START_NS + 500)
    assert (result.frames, result.held_by) == (2, ())
    [state] = await journal.partitions()
    assert (state.oldest, state.head) == (5, 6)
    assert [frame.offset for frame in (await journal.read(STORE, 1)).frames] == [5, 6]


async def test_frames_from_before_the_clock_was_set_are_no_older_than_the_next_one(
    journal: Journal,
) -> None:
    lost, right = 5_000_000_000, START_NS
    policy = RetentionPolicy(max_age_ns=100)
    for number, received_ns in enumerate((lost, lost + 1)):
        await put(journal, new_frame(stream(), number * 10 + 1, received_ns=received_ns))
    assert (await journal.retain(policy, lost + 1_000)).frames == 0
    assert (await journal.retain(policy, right)).frames == 0
    for number, received_ns in enumerate((right, right + 50, lost + 2, right + 100), 2):
        await put(journal, new_frame(stream(), number * 10 + 1, received_ns=received_ns))
    assert (await journal.retain(policy, right + 100)).frames == 0
    assert (await journal.retain(policy, right + 120)).frames == 3
    [state] = await journal.partitions()
    assert (state.oldest, state.head) == (4, 6)


async def test_what_was_settled_stays_settled_when_its_frames_are_gone(journal: Journal) -> None:
    key = stream()
    await put(journal, new_frame(key, 1))
    await journal.retain(RetentionPolicy(max_age_ns=0), START_NS + 1)
    assert await journal.find([(key, 1, 10)]) == [None]
    [record] = await journal.streams([key])
    assert record is not None
    assert list(record.ranges) == [(1, 10)]
    assert await put(journal, new_frame(key, 11)) == Committed(2)


async def test_retention_by_bytes_takes_the_oldest_of_all_partitions(journal: Journal) -> None:
    for number in range(40):
        key = stream(store=f"store-{number % 2 + 1}")
        await put(
            journal,
            new_frame(key, number * 10 + 1, received_ns=number, data=random.randbytes(50_000)),
        )
    result = await journal.retain(RetentionPolicy(keep_bytes=2**20), 100)
    assert result.frames > 0
    await journal.checkpoint()
    assert (await journal.size()).used_bytes <= 2**20
    near, far = await journal.partitions()
    assert near.oldest > 1
    assert far.oldest > 1


# ---- enrolment


async def test_a_removed_device_keeps_its_dedup_state(journal: Journal) -> None:
    key = DeviceKey("acme", "store-1", "till-1")
    device = EnrolledDevice(key=key, region="eu-1", public_keys=(b"k" * 32,), enrolled_ns=5)
    await journal.enrol(device)
    await put(journal, new_frame(stream(), 1))
    assert await journal.remove(key, 9)
    assert not await journal.remove(key, 10)
    found = await journal.device(key)
    assert found is not None
    assert (found.public_keys, found.removed_ns, found.state.streams) == ((), 9, 1)
    await journal.enrol(device)
    [listed] = await journal.devices()
    assert (listed.public_keys, listed.removed_ns) == ((b"k" * 32,), None)
    [record] = await journal.streams([stream(epoch=EPOCH)])
    assert record is not None
    assert record.ranges == RangeSet([(1, 10)])


async def test_devices_that_only_sent_frames_are_not_listed(journal: Journal) -> None:
    await put(journal, new_frame(stream(), 1))
    assert await journal.devices() == []
    assert await journal.device(stream().device_key) is None
