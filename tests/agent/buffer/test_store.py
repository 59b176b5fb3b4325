"""The main road through the buffer, on real files: accept, seal, send, receipt, restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

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
from whimbrel_agent.buffer.values import AcceptError, LaneConfig
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANE_NUMBERS

T = TypeVar("T")


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
        assert early.unsealed == await buffer.unsealed()
        assert [(one.lane, one.events) for one in early.unsealed] == [("normal", 10)]
        shop.clock.advance(1)
        late = await buffer.seal_due(shop.clock.mono)
        assert (late.frames, late.unsealed) == (1, ())
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


@pytest.mark.parametrize("bad_ones", [{0}, {1}, {0, 1}, {3, 7}, set(range(9))])
async def test_what_is_no_good_among_concurrent_accepts_takes_nothing_with_it(
    tmp_path: Path, bad_ones: set[int]
) -> None:
    # the first is checked by the database's thread, those that come during its commit by the loop
    shop = Shop(tmp_path / "buffer.db", runner=ThreadRunner())
    groups = [sales(2, 2 * n) for n in range(9)]
    for n in bad_ones:
        groups[n][1] = replace(groups[n][1], zone="No Zone")
    async with shop.buffer() as buffer:
        answers = await asyncio.gather(
            *(buffer.accept(group) for group in groups), return_exceptions=True
        )
        for n, answer in enumerate(answers):
            if n in bad_ones:
                assert isinstance(answer, AcceptError)
                assert (answer.index, answer.error.field) == (1, "zone")
        good = [n for n in range(9) if n not in bad_ones]
        assert await kept_numbers(buffer) == [m for n in good for m in (2 * n, 2 * n + 1)]
        assert (await buffer.stats()).counters.get("accepted", 0) == 2 * len(good)
        await buffer.accept(sales(1, 100))
        await assert_sound(buffer)
    await shop.runner.close()


class LateRunner:
    """A database thread that begins its work when a test says so."""

    def __init__(self) -> None:
        self._inner = ThreadRunner()
        self.begun, self.may_work = threading.Event(), threading.Event()
        self.may_work.set()

    async def run(self, work: Callable[[], T]) -> T:
        def late() -> T:
            self.begun.set()
            self.may_work.wait()
            return work()

        return await self._inner.run(late)

    async def close(self) -> None:
        await self._inner.close()


async def test_a_caller_that_goes_away_just_before_its_commit_does_not_hold_up_others(
    tmp_path: Path,
) -> None:
    runner = LateRunner()
    shop = Shop(tmp_path / "buffer.db", runner=runner)
    async with shop.buffer() as buffer:
        runner.begun.clear()
        runner.may_work.clear()
        gone = asyncio.create_task(buffer.accept(sales(1)))
        assert await asyncio.to_thread(runner.begun.wait, 10)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        runner.may_work.set()
        await buffer.accept(sales(1, 1))
        assert await kept_numbers(buffer) == [1]
    await runner.close()


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
