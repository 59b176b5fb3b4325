from __future__ import annotations

import asyncio

from committed.journal import EPOCH, Committer, address, event, events
from whimbrel_aggregator.journal.port import Journal, PartitionKey
from whimbrel_aggregator.reading import QUARANTINE, CommittedEvent, EventReader, Position
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.header import InnerGap
from whimbrel_protocol.lanes import ClockQuality, GapReason

PARTITION = PartitionKey("acme", "store-1")


async def read_all(journal: Journal, reader: EventReader) -> list[CommittedEvent]:
    page = await journal.read(PARTITION, 1)
    return [event async for frame in reader.decode(page) for event in frame.events]


async def test_events_come_back_as_they_were_with_their_sequences(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    given = events(1, 700)
    await committer.commit([given[:500], given[500:]])
    found = await read_all(journal, reader)
    assert [one.event for one in found] == given
    assert [one.sequence for one in found] == list(range(1, 701))
    assert found[500].position == Position(2, 0)
    assert found[0].address == address()
    assert found[0].clock is ClockQuality.SYNCED


async def test_inner_gaps_leave_their_sequences_out(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    gap = InnerGap(1, 2, int(GapReason.EVICTED))
    await committer.commit([events(1, 2)], gaps=(gap,))
    assert [one.sequence for one in await read_all(journal, reader)] == [1, 4]


async def test_a_producers_id_is_the_events_id(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    await committer.commit([[event(1, dedup_key="sale-17"), event(2)]])
    found = await read_all(journal, reader)
    assert [one.id for one in found] == ["sale-17", f"acme/store-1/till-1/{EPOCH}/normal/2"]
    assert found[0].identity == f"acme/store-1/till-1/{EPOCH}/normal/1"


async def test_unreadable_columns_are_set_aside_once_and_the_rest_goes_on(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    await committer.commit([events(1, 3)])
    await committer.commit([events(4, 3)], columns=b"\x12\x05nonsense")
    await committer.commit([events(7, 3)])
    for _ in range(2):
        found = await read_all(journal, reader)
        assert [one.event.data["number"] for one in found] == [1, 2, 3, 7, 8, 9]
    [parked] = await journal.parked(QUARANTINE)
    assert (parked.offset, parked.index) == (2, -1)
    assert parked.event_id == f"acme/store-1/till-1/{EPOCH}/normal/4+3"
    assert parked.reason.startswith("unreadable: ")


async def test_columns_with_fewer_events_than_the_header_says_are_unreadable(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    await committer.commit([events(1, 3)], columns=encode_events(events(1, 2)))
    assert await read_all(journal, reader) == []
    [parked] = await journal.parked(QUARANTINE)
    assert "2 events" in parked.reason


async def test_unwanted_frames_are_passed_without_decoding(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    await committer.commit([events(1, 2)], columns=b"never looked at")
    page = await journal.read(PARTITION, 1)
    frames = [frame async for frame in reader.decode(page, lambda _: False)]
    assert [(frame.offset, frame.events, frame.unreadable) for frame in frames] == [(1, (), "")]
    assert await journal.parked(QUARANTINE) == []


async def test_the_loop_turns_while_frames_are_decoded(
    journal: Journal, reader: EventReader, committer: Committer
) -> None:
    for start in range(0, 10_000, 1_000):
        await committer.commit([events(start, 1_000)])
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.get_running_loop().create_task(turn())
    found = await read_all(journal, reader)
    turning.cancel()
    assert len(found) == 10_000
    assert turns > 10
