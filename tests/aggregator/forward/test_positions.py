from __future__ import annotations

import asyncio
from pathlib import Path

from committed.journal import Committer, address, events
from committed.sinks import START_NS, ScriptedSink, forwarder_over, hang, loop_journal, running
from whimbrel_aggregator.forward.positions import USUAL_FRAME_BYTES, Positions
from whimbrel_aggregator.forward.status import Backlog
from whimbrel_aggregator.journal.port import Cursor, PartitionKey
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import Position
from worlds.virtual import in_virtual_time

STORE_1 = PartitionKey("acme", "store-1")


async def nothing(_: PartitionKey) -> None:
    """What a sink says that cannot be asked."""


async def positions_over(journal: SqliteJournal, *, store: str = "") -> Positions:
    positions = Positions("hook", journal, lambda _, name: store in ("", name))
    await positions.attach(from_newest=False)
    positions.note_heads(await journal.partitions(), now_ns=START_NS + 10**9)
    return positions


async def test_a_backlog_is_known_before_anything_was_read(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([events(1, 5)] * 3)
    positions = await positions_over(journal)
    backlog = positions.backlog(now_ns=START_NS + 5 * 10**9)
    assert backlog == Backlog(3, 3 * USUAL_FRAME_BYTES, 4.0)


async def test_after_a_restart_it_begins_at_the_cursors(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([events(1, 5)] * 3)
    await journal.attach("hook")
    await journal.put_cursor("hook", STORE_1, Cursor(journal.generation, 3))
    assert (await positions_over(journal)).backlog(now_ns=START_NS).frames == 1


async def test_sizes_and_ages_are_those_of_the_frames_that_were_read(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([events(1, 500), events(501, 500)])
    positions = await positions_over(journal)
    page = await journal.read(STORE_1, 1, limit_frames=10)
    positions.note_page(STORE_1, page)
    backlog = positions.backlog(now_ns=page.frames[0].received_ns + 90 * 10**9)
    kept_bytes = sum(len(frame.data) for frame in page.frames)
    assert abs(backlog.size_bytes - kept_bytes) < 2
    assert backlog.age_s == 90


async def test_what_is_reached_is_no_backlog(journal: SqliteJournal, committer: Committer) -> None:
    await committer.commit([events(1, 5)] * 3)
    positions = await positions_over(journal)
    await positions.learn(STORE_1, nothing)
    await positions.reach(STORE_1, Position(3))
    assert positions.backlog(now_ns=START_NS).frames == 1
    await positions.reach(STORE_1, Position(4))
    assert positions.backlog(now_ns=START_NS) == Backlog()
    assert (await journal.cursor("hook", STORE_1)).offset == 4


async def test_what_is_not_selected_is_no_backlog_and_its_cursors_pass(
    journal: SqliteJournal, committer: Committer
) -> None:
    await committer.commit([events(1, 5)])
    await committer.commit([events(1, 5)], address("store-2"))
    positions = await positions_over(journal, store="store-1")
    await positions.pass_unselected()
    assert positions.backlog(now_ns=START_NS).frames == 1
    assert (await journal.cursor("hook", PartitionKey("acme", "store-2"))).offset == 2


@in_virtual_time
async def test_the_age_of_a_backlog_grows_while_the_sink_hangs(tmp_path: Path) -> None:
    async with loop_journal(tmp_path) as journal:
        await Committer(journal).commit([events(1, 5)])
        forwarder = forwarder_over(journal, "hook", ScriptedSink(hang))
        async with running(forwarder):
            await asyncio.sleep(100)
            assert 99 < forwarder.status.backlog.age_s < 101
