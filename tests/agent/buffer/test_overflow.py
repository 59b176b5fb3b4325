"""A full buffer gives up detail before it gives up events, and accounts for both."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from buffers.harness import START_NS, Shop, all_pending, answer, assert_sound, receipt_for, sales
from whimbrel_agent.buffer import overflow, reissuing
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError, FrameRef, LaneConfig, Overflow
from whimbrel_protocol.event import SUMMARY_COUNT, Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.messages import StreamState

CAP_BYTES = 1024 * 1024
THIN = {"bulk": LaneConfig(overflow=Overflow.THIN)}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


def readings(count: int, start: int) -> list[Event]:
    """Values that hardly compress, of four sensors in turn."""
    chance = random.Random(start)
    return [
        Event(
            type="power",
            source=f"meter-{number % 4}",
            time_ns=START_NS + number * 10**9,
            data={f"w{n}": chance.random() for n in range(8)},
            lane="bulk",
        )
        for number in range(start, start + count)
    ]


async def pour(buffer: Buffer, groups: int, *, start: int = 0) -> int:
    for group in range(start, start + groups):
        await buffer.accept(readings(100, 100 * group))
        await buffer.seal_all()
        assert (await buffer.stats()).size_bytes <= CAP_BYTES * 1.01
    return 100 * groups


async def pour_until(buffer: Buffer, counter: str) -> int:
    accepted = 0
    while not (await buffer.stats()).counters.get(counter):
        accepted += await pour(buffer, 1, start=accepted // 100)
        assert accepted < 1_000_000
    return accepted


async def thinned_frames(buffer: Buffer) -> list[FrameRef]:
    return [ref for ref in await all_pending(buffer, "bulk") if 0 < ref.count < ref.span]


async def test_values_are_thinned_before_any_frame_is_dropped(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        accepted = await pour_until(buffer, "evicted_frames")
        stats = await buffer.stats()
        line = stats.lane("bulk").ledger
        assert line.balanced
        assert line.accepted == accepted
        assert line.gapped[GapReason.THINNED] == stats.counters["thinned_events"] > accepted / 2
        assert line.gapped[GapReason.EVICTED] < accepted / 10
        await assert_sound(buffer)
        counts = [e.event.extensions.get(SUMMARY_COUNT) async for e in buffer.export()]
        assert sum(count is not None for count in counts) > 20
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        assert (await buffer.stats()).lane("bulk").ledger.balanced
        await assert_sound(buffer)
        await pour(buffer, 10, start=accepted // 100)
        await assert_sound(buffer)


async def test_kept_events_stand_at_their_own_sequences(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        await pour_until(buffer, "thinned_events")
        async for one in buffer.export():
            if SUMMARY_COUNT not in one.event.extensions:
                assert one.event.time_ns == START_NS + (one.sequence - 1) * 10**9


async def test_what_may_have_been_sent_is_not_touched(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        await pour(buffer, 5)
        sent = await all_pending(buffer, "bulk")
        await buffer.load_to_send([sent[-1]])
        before = await buffer.load_many(sent)
        await pour_until(buffer, "thinned_events")
        assert await buffer.load_many(sent) == before
        assert all(ref.id > sent[-1].id for ref in await thinned_frames(buffer))


async def test_a_reference_from_before_is_not_taken_for_the_thinned_frame(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        await pour(buffer, 1)
        refs = await all_pending(buffer, "bulk")
        await pour_until(buffer, "thinned_events")
        assert await buffer.load_many(refs) == [None]
        (now,) = [ref for ref in await all_pending(buffer, "bulk") if ref.id == refs[0].id]
        (data,) = await buffer.load_many([now])
        assert data is not None
        header = open_frame(data).header
        assert (header.first, header.span, header.count) == (now.first, 100, now.count)
        assert {gap.reason for gap in header.gaps} == {GapReason.THINNED}


async def test_a_thinned_frame_that_the_region_has_in_part_is_cut_right(shop: Shop) -> None:
    # as when another life of this card has delivered the first half before it was put back
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        await pour_until(buffer, "thinned_events")
        frame = (await thinned_frames(buffer))[0]
        (data,) = await buffer.load_many([frame])
        assert data is not None
        border = frame.first + frame.span // 2
        before = [n for n in open_frame(data).header.sequences() if n <= border]
        known = StreamState(frame.epoch, "bulk", ((frame.first, border),), b"")
        await buffer.apply_resume(answer(known))
        line = (await buffer.stats()).lane("bulk").ledger
        assert line.delivered == len(before)
        assert line.balanced
        await assert_sound(buffer)


async def test_thinned_frames_move_to_a_new_epoch_with_their_gaps(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        await pour_until(buffer, "thinned_events")
        frames = await thinned_frames(buffer)
        line = (await buffer.stats()).lane("bulk").ledger
        moved = await buffer.apply_resume(answer(floor=buffer.epoch + (1 << 30)))
        assert moved.rotated
        after = await thinned_frames(buffer)
        assert [(ref.span, ref.count) for ref in after] == [(r.span, r.count) for r in frames]
        assert {ref.epoch for ref in after} == {moved.epoch}
        assert (await buffer.stats()).lane("bulk").ledger == line
        await assert_sound(buffer)


async def test_sales_are_never_thinned(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        counters: Mapping[str, int] = {}
        group = 0
        while "evicted_frames" not in counters:
            await buffer.accept(sales(100, 100 * group, lane="bulk"))
            await buffer.seal_all()
            counters = (await buffer.stats()).counters
            group += 1
        assert "thinned_events" not in counters
        await assert_sound(buffer)


async def test_receipts_settle_thinned_frames(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN, retain_share=0.0) as buffer:
        await pour_until(buffer, "thinned_events")
        refs = await all_pending(buffer, "bulk")
        await buffer.load_to_send([refs[-1]])
        await buffer.settle(receipt_for(refs))
        line = (await buffer.stats()).lane("bulk").ledger
        assert (line.pending, line.balanced) == (0, True)
        assert line.delivered + line.gapped[GapReason.THINNED] == line.accepted


async def test_a_disk_that_fills_up_in_the_middle_of_thinning_costs_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reserve is given up and the work begins anew: on the frames as they are, not as they were.
    whole = reissuing.seal_again
    calls = 0

    def full_at_the_second(*given: Any, **more: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DiskFullError("no room")
        return whole(*given, **more)

    async with shop.buffer(max_bytes=CAP_BYTES, lanes=THIN) as buffer:
        monkeypatch.setattr(overflow, "seal_again", full_at_the_second)
        with suppress(BufferFullError):  # the reserve is gone: the disk counts as full
            await pour_until(buffer, "thinned_events")
        assert calls > 2
        line = (await buffer.stats()).lane("bulk").ledger
        assert GapReason.DAMAGED not in line.gapped
        assert line.gapped[GapReason.THINNED] == (await buffer.stats()).counters["thinned_events"]
        assert line.balanced
        await assert_sound(buffer)
