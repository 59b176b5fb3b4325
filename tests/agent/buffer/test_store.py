"""The main road through the buffer, on real files: accept, seal, send, receipt, restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from buffers.harness import (
    SECOND_NS,
    Shop,
    all_pending,
    assert_sound,
    kept_numbers,
    receipt_for,
    sales,
)
from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.values import LaneConfig
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANE_NUMBERS


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def test_accepted_events_get_rising_sequences_per_lane(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        first = await buffer.accept(sales(3))
        mixed = await buffer.accept([*sales(2, 3, lane="high"), *sales(1, 5)])
        assert [a.sequence for a in first] == [1, 2, 3]
        assert [(a.lane, a.sequence) for a in mixed] == [("high", 1), ("high", 2), ("normal", 4)]
        assert {a.epoch for a in [*first, *mixed]} == {buffer.epoch}
        await assert_sound(buffer)


async def test_events_wait_for_the_linger_and_then_become_one_frame(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
        early = await buffer.seal_due(shop.clock.mono)
        assert (early.frames, early.next_deadline_ns) == (0, shop.clock.mono + SECOND_NS)
        shop.clock.advance(1)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1
        (ref,) = await all_pending(buffer)
        data = await buffer.load(ref.id)
        assert data is not None
        frame = open_frame(data)
        assert (frame.header.first, frame.header.span, frame.digest) == (1, 10, ref.digest)
        assert decode_events(frame.columns) == sales(10)
        assert frame.header.zones == ("front",)
        assert frame.header.time_min_ns == sales(1)[0].time_ns


async def test_a_full_batch_is_sealed_at_once(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        for start in range(0, 2200, 100):
            await buffer.accept(sales(100, start))
        result = await buffer.seal_due(shop.clock.mono)
        assert [ref.span for ref in await all_pending(buffer)] == [1000, 1000]
        assert result.frames == 2
        assert (await buffer.stats()).lane("normal").staged_events == 200


async def test_receipt_frees_only_on_an_exact_match(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
        await buffer.seal_all()
        (ref,) = await all_pending(buffer)
        wrong = [
            replace(ref, digest=b"12345678"),
            replace(ref, span=9),
            replace(ref, first=2),
            replace(ref, epoch=77),
        ]
        for other in wrong:
            result = await buffer.settle(receipt_for([other]))
            assert (result.freed, result.unmatched) == ((), 1)
        result = await buffer.settle(receipt_for([ref]))
        assert (result.freed, result.committed) == ((ref.id,), 1)
        again = await buffer.settle(receipt_for([ref]))
        assert (again.freed, again.repeated, again.unmatched) == ((), 1, 0)
        line = (await buffer.stats()).lane("normal").ledger
        assert (line.accepted, line.delivered, line.pending) == (10, 10, 0)
        await assert_sound(buffer)


async def test_whoever_waits_for_room_is_told_when_a_receipt_frees_some(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
        sealing = buffer.next_freeing()
        await buffer.seal_all()
        assert sealing.is_set()
        receipted, nothing = buffer.next_freeing(), receipt_for([])
        await buffer.settle(nothing)
        assert not receipted.is_set()
        await buffer.settle(receipt_for(await all_pending(buffer)))
        assert receipted.is_set()


async def test_restart_keeps_everything_and_numbers_anew(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        epoch = buffer.epoch
        await buffer.accept(sales(1000))
        await buffer.accept(sales(100, 1000))
        await buffer.seal_due(shop.clock.mono)
        assert (await buffer.stats()).lane("normal").staged_events == 100
    async with shop.buffer() as buffer:
        assert buffer.epoch > epoch
        assert [ref.span for ref in await all_pending(buffer)] == [1000, 100]
        assert await kept_numbers(buffer) == list(range(1100))
        (accepted,) = await buffer.accept(sales(1, 1100))
        assert accepted.sequence == 1
        await assert_sound(buffer)


async def test_concurrent_accepts_share_commits_and_keep_their_order(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db", runner=ThreadRunner())
    async with shop.buffer() as buffer:
        answers = await asyncio.gather(*(buffer.accept(sales(1, n)) for n in range(200)))
        assert [answer[0].sequence for answer in answers] == list(range(1, 201))
        assert await kept_numbers(buffer) == list(range(200))
        (rows,) = buffer._state.database.connection.execute("select count(*) from staged")
        assert rows[0] < 50
    await shop.runner.close()


async def test_new_epoch_waits_in_an_in_order_lane_until_the_old_one_is_settled(
    shop: Shop,
) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(5))
    async with shop.buffer() as buffer:
        await buffer.accept(sales(5, 5))
        await buffer.seal_all()
        (old,) = await all_pending(buffer)
        assert old.epoch < buffer.epoch
        await buffer.settle(receipt_for([old]))
        (new,) = await all_pending(buffer)
        assert new.epoch == buffer.epoch


async def test_a_pace_lets_events_wait_longer_and_gives_it_back(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        buffer.pace({"normal": 60.0, "critical": 0.0}, 500)
        await buffer.accept(sales(10))
        shop.clock.advance(30)
        paced = await buffer.seal_due(shop.clock.mono)
        assert paced.frames == 0
        assert paced.next_deadline_ns == shop.clock.mono + 30 * 10**9
        buffer.pace({}, None)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1


async def test_a_pace_is_a_floor_only(shop: Shop) -> None:
    slow = {"bulk": LaneConfig(linger_s=100.0, batch_events=700)}
    async with shop.buffer(lanes=slow) as buffer:
        buffer.pace({"bulk": 5.0}, 10)
        lane = buffer._state.lanes[LANE_NUMBERS["bulk"]]
        assert (lane.linger_s, lane.batch_events) == (100.0, 700)
