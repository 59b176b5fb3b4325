"""A route that steps down its ladder, with a real journal and in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from committed.journal import Committer, address, event, events
from committed.sinks import ScriptedSink, fail, forwarder_over, loop_journal, running, take
from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.forward.ladder import Rung, Rungs
from whimbrel_aggregator.forward.skipped import SkippedFile, skipped_path
from whimbrel_aggregator.forward.worker import Forwarder
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_protocol.messages import Detail
from worlds.virtual import in_virtual_time

STORE_1 = PartitionKey("acme", "store-1")


def rung_of(forwarder: Forwarder) -> Rung:
    return forwarder.status.rung


async def offset_of(journal: SqliteJournal, partition: PartitionKey = STORE_1) -> int:
    return (await journal.cursor("hook", partition)).offset


def runs_of(journal: SqliteJournal) -> list[tuple[str, int, int, int]]:
    file = SkippedFile(skipped_path(journal.path))
    try:
        return [(row.rung, row.first, row.last, row.events) for row in file.rows()]
    finally:
        file.close()


@in_virtual_time
async def test_at_store_only_the_route_skips_ahead_and_names_what_it_skipped(
    tmp_path: Path,
) -> None:
    async with loop_journal(tmp_path) as journal:
        committer = Committer(journal)
        await committer.commit([events(1, 10), events(11, 10)])
        sink = ScriptedSink(fail)
        forwarder = forwarder_over(journal, "hook", sink, rungs=Rungs(store_only_after_s=100))
        async with running(forwarder):
            await asyncio.sleep(90)
            assert rung_of(forwarder) is Rung.FULL
            assert await offset_of(journal) == 1
            await asyncio.sleep(25)
            assert rung_of(forwarder) is Rung.STORE_ONLY
            assert forwarder.status.rung_reason.endswith("store-only from 100 s on")
            assert await offset_of(journal) == 3
            assert runs_of(journal) == [("store-only", 1, 2, 20)]
            assert (forwarder.status.skipped_frames, forwarder.status.skipped_events) == (2, 20)
            # the backlog is gone: it steps up, and what comes now is forwarded
            sink.behave = take
            await asyncio.sleep(120)
            assert rung_of(forwarder) is Rung.FULL
            await committer.commit([events(21, 10)])
            await asyncio.sleep(120)
        assert sink.numbers == list(range(21, 31))
        # what was skipped is still there
        page = await journal.read(STORE_1, 1, limit_frames=9)
        assert [frame.count for frame in page.frames] == [10, 10, 10]


@pytest.mark.parametrize("push_down", [True, False])
@in_virtual_time
async def test_devices_are_asked_to_thin_only_where_that_was_chosen(
    tmp_path: Path, *, push_down: bool
) -> None:
    async with loop_journal(tmp_path) as journal:
        await Committer(journal).commit([events(1, 10)])
        sink = ScriptedSink(fail)
        rungs = Rungs(sampled_after_s=100, push_down=push_down)
        forwarder = forwarder_over(journal, "hook", sink, rungs=rungs)
        async with running(forwarder):
            await asyncio.sleep(90)
            assert forwarder.asked is Detail.FULL
            await asyncio.sleep(25)
            assert forwarder.asked is (Detail.SAMPLED if push_down else Detail.FULL)
            assert forwarder.status.asked is forwarder.asked
            sink.behave = take
            await asyncio.sleep(120)
            assert forwarder.asked is Detail.FULL


@in_virtual_time
async def test_critical_events_wait_for_the_sink_and_hold_up_no_other_store(
    tmp_path: Path,
) -> None:
    async with loop_journal(tmp_path) as journal:
        committer = Committer(journal)
        for store in range(8):  # more than there are deliveries in flight
            await committer.commit([[event(store, lane="critical")]], address(f"store-{store}"))
        for store in range(8, 12):
            await committer.commit([events(100, 10)], address(f"store-{store}"))
        sink = ScriptedSink(fail)
        forwarder = forwarder_over(journal, "hook", sink, rungs=Rungs(store_only_after_s=100))
        async with running(forwarder):
            await asyncio.sleep(200)
            for store in range(12):
                passed = await offset_of(journal, PartitionKey("acme", f"store-{store}"))
                assert passed == (1 if store < 8 else 2)
            sink.behave = take
            await asyncio.sleep(90)
        assert sorted(sink.numbers) == list(range(8))


@in_virtual_time
async def test_samples_and_summaries_are_what_the_sink_gets_of_a_late_backlog(
    tmp_path: Path,
) -> None:
    async with loop_journal(tmp_path) as journal:
        committer = Committer(journal)
        await committer.commit([events(1, 100), [event(500, lane="high")]])
        sink = ScriptedSink(fail)
        rungs = Rungs(sampled_after_s=100, sample_one_in=20)
        forwarder = forwarder_over(journal, "hook", sink, rungs=rungs)
        async with running(forwarder):
            await asyncio.sleep(120)
            assert rung_of(forwarder) is Rung.SAMPLED
            sink.behave = take
            await asyncio.sleep(90)
        assert sink.numbers == [20, 40, 60, 80, 100, 500]
        assert runs_of(journal) == [("sampled", 1, 1, 100)]


@in_virtual_time
async def test_where_it_cannot_be_noted_nothing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SideFileError("the disk is full")

    monkeypatch.setattr(SkippedFile, "add", refuse)
    async with loop_journal(tmp_path) as journal:
        await Committer(journal).commit([events(1, 10)])
        rungs = Rungs(store_only_after_s=100)
        forwarder = forwarder_over(journal, "hook", ScriptedSink(fail), rungs=rungs)
        async with running(forwarder):
            await asyncio.sleep(120)
            assert await offset_of(journal) == 1
            assert "the disk is full" in forwarder.status.reason
