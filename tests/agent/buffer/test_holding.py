"""Events that wait in memory within their lane's window: order, bounds, and what a stop takes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from buffers.harness import (
    SECOND_NS,
    Shop,
    all_pending,
    answer,
    assert_sound,
    kept_numbers,
    receipt_for,
    sale,
    sales,
)
from whimbrel_agent.buffer import holding
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.numbers import MAX_WINDOW_BLOCK, MIN_WINDOW_BLOCK
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.tickets import Aside
from whimbrel_agent.buffer.values import (
    BufferBrokenError,
    BufferConfig,
    BufferFullError,
    LaneConfig,
    Overflow,
)
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.messages import StreamState

WINDOW_S = 5.0
LANES = {
    "normal": LaneConfig(durability_s=WINDOW_S, linger_s=60.0, batch_events=100),
    "high": LaneConfig(linger_s=60.0),
    "bulk": LaneConfig(durability_s=WINDOW_S, linger_s=60.0, overflow=Overflow.REFUSE),
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


def killed(shop: Shop, buffer: Buffer) -> None:
    """End a process without a word: nothing in memory is written any more."""
    buffer._closed = True
    buffer._state.database.connection.close()
    buffer._state.numbers.abandon()
    buffer._lock.release()


async def on_disk(buffer: Buffer) -> int:
    """How many staged events the file has."""
    return await buffer.read(
        lambda connection: int(connection.execute("SELECT count(*) FROM staged").fetchone()[0])
    )


async def window_of(buffer: Buffer, lane: str = "normal") -> tuple[float, int, int]:
    window = (await buffer.stats()).lane(lane).window
    return window.durability_s, window.held_events, window.lost_events


async def test_an_accept_in_a_window_is_answered_without_a_commit(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        before = buffer.commits
        places = await buffer.accept(sales(10))
        assert [place.sequence for place in places] == list(range(1, 11))
        assert buffer.commits == before
        assert await on_disk(buffer) == 0
        assert await window_of(buffer) == (WINDOW_S, 10, 0)
        await buffer.accept(sales(1, 10, lane="high"))
        assert buffer.commits == before + 1
        assert (await buffer.stats()).lane("high").window.held_events == 0


async def test_a_full_batch_is_sealed_without_ever_being_staged(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        for start in range(0, 100, 20):
            await buffer.accept(sales(20, start))
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1
        assert buffer.commits == 3  # two of the opening
        assert [ref.count for ref in await all_pending(buffer)] == [100]
        assert await window_of(buffer) == (WINDOW_S, 0, 0)
        assert await kept_numbers(buffer) == list(range(100))
        await assert_sound(buffer)


async def test_the_window_ends_before_the_linger(shop: Shop) -> None:
    lanes = {**LANES, "normal": LaneConfig(durability_s=WINDOW_S, linger_s=8.0, batch_events=100)}
    async with shop.buffer(lanes=lanes) as buffer:
        await buffer.accept(sales(3))
        result = await buffer.seal_due(shop.clock.mono)
        assert (result.frames, result.next_deadline_ns) == (0, shop.clock.mono + 4 * SECOND_NS)
        shop.clock.advance(4)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1
        assert [ref.count for ref in await all_pending(buffer)] == [3]


async def test_rows_bridge_a_linger_that_is_far_longer_than_the_window(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        for start in range(0, 40, 10):
            await buffer.accept(sales(10, start))
            shop.clock.advance(4)
            assert (await buffer.seal_due(shop.clock.mono)).frames == 0
            assert await window_of(buffer) == (WINDOW_S, 0, 0)
        shop.clock.advance(60 - 16)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1
        assert [ref.count for ref in await all_pending(buffer)] == [40]


async def test_offline_a_few_events_become_rows_and_later_one_frame(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        buffer.look_out(sending=False)
        for start in range(0, 30, 10):
            await buffer.accept(sales(10, start))
            shop.clock.advance(4)
            result = await buffer.seal_due(shop.clock.mono)
            assert (result.frames, await on_disk(buffer)) == (0, start // 10 + 1)
            said = (await buffer.stats()).lane("normal").window.decision
            assert said == "wait: nothing can leave: what is on the disk waits for company"
        assert await window_of(buffer) == (WINDOW_S, 0, 0)
        await buffer.accept(sales(30, 30))
        shop.clock.advance(4)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1  # 60 make a good frame
        assert [ref.count for ref in await all_pending(buffer)] == [60]
        await buffer.accept(sales(5, 60))
        shop.clock.advance(60)
        await buffer.seal_due(shop.clock.mono)
        assert await on_disk(buffer) == 1
        buffer.look_out(sending=True)
        assert (await buffer.seal_due(shop.clock.mono)).frames == 1
        assert await kept_numbers(buffer) == list(range(65))
        await assert_sound(buffer)


async def test_many_small_accepts_become_few_rows(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        buffer.look_out(sending=False)
        for number in range(40):
            await buffer.accept([sale(number)])
        shop.clock.advance(4)
        await buffer.seal_due(shop.clock.mono)
        assert await on_disk(buffer) == 1
    async with shop.buffer(lanes=LANES) as buffer:
        assert [ref.count for ref in await all_pending(buffer)] == [40]
        assert await kept_numbers(buffer) == list(range(40))


@pytest.mark.parametrize("with_what", ["key", "checkpoint", "aside"])
async def test_what_must_not_outlive_its_events_takes_all_before_it_along(
    shop: Shop, with_what: str
) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(7))
        await buffer.accept(sales(2, 500, lane="bulk"))
        match with_what:
            case "key":
                await buffer.accept(sales(3, 7), keys=[b"a", None, b"c"])
            case "checkpoint":
                await buffer.accept(sales(3, 7), checkpoint=("import", b"10"))
            case "aside":
                await buffer.keep(sales(3, 7), aside=Aside(lambda _: None, 0, 2))
        assert await window_of(buffer) == (WINDOW_S, 0, 0)
        assert await window_of(buffer, "bulk") == (WINDOW_S, 2, 0)
        await buffer.accept(sales(1, 10))
        assert await window_of(buffer) == (WINDOW_S, 1, 0)
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        assert await kept_numbers(buffer) == list(range(10))
        await assert_sound(buffer)


async def test_keys_that_are_all_missing_make_nothing_durable(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(2), keys=[None, None])
        assert await window_of(buffer) == (WINDOW_S, 2, 0)


async def test_a_stop_in_order_loses_nothing_and_says_so(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept([*sales(4), *sales(4, 4, lane="bulk")])
    async with shop.buffer(lanes=LANES) as buffer:
        assert sorted(await kept_numbers(buffer)) == list(range(8))
        assert [await window_of(buffer, lane) for lane in ("normal", "bulk")] == [(5.0, 0, 0)] * 2
        await assert_sound(buffer)


@pytest.mark.parametrize("durable", [0, 5])
async def test_a_kill_takes_the_window_and_a_gap_stands_for_it(shop: Shop, durable: int) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        epoch = buffer.epoch
        await buffer.accept(sales(3, 900, lane="high"))
        if durable:
            await buffer.accept(sales(durable), checkpoint=("import", b"1"))
        await buffer.accept(sales(20, durable))
        killed(shop, buffer)
    for life in range(3):
        async with shop.buffer(lanes=LANES) as buffer:
            frames = await all_pending(buffer)
            gap = frames[-1]
            assert (gap.epoch, gap.first, gap.count) == (epoch, durable + 1, 0)
            assert 20 <= gap.span <= 20 + MIN_WINDOW_BLOCK
            stats = await buffer.stats()
            assert stats.lane("normal").window.lost_events == (0 if life else gap.span)
            line = stats.lane("normal").ledger
            assert (line.accepted, line.gapped) == (
                durable + gap.span,
                {GapReason.UNSYNCED: gap.span},
            )
            assert line.balanced
            assert stats.lane("high").ledger.gapped == {}
            assert sorted(await kept_numbers(buffer)) == [*range(durable), 900, 901, 902]
            await assert_sound(buffer)


async def test_the_gap_is_settled_like_any_other(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(20))
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.apply_resume(answer())
        (gap,) = await all_pending(buffer)
        await buffer.load_to_send([gap])
        await buffer.settle(receipt_for([gap]))
        assert await all_pending(buffer) == []
        await assert_sound(buffer)


async def test_an_opening_that_is_cut_short_accounts_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(9), checkpoint=("import", b"1"))
        await buffer.accept(sales(20, 9))
        killed(shop, buffer)

    def cut_short(*_: object) -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr("whimbrel_agent.buffer.opening.open_epoch", cut_short)
        with pytest.raises(BufferBrokenError):
            await shop.start(lanes=LANES)
    async with shop.buffer(lanes=LANES) as buffer:
        gaps = [ref for ref in await all_pending(buffer) if not ref.count]
        assert [gap.first for gap in gaps] == [10]
        assert await kept_numbers(buffer) == list(range(9))
        await assert_sound(buffer)


async def test_without_a_window_a_kill_costs_nothing(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(20))
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        assert [ref.count for ref in await all_pending(buffer)] == [20]
        assert await window_of(buffer) == (WINDOW_S, 0, 0)


async def test_a_window_that_was_taken_away_is_accounted_all_the_same(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(20))
        killed(shop, buffer)
    async with shop.buffer() as buffer:
        assert (await buffer.stats()).lane("normal").window.lost_events >= 20


async def test_the_bound_stays_near_however_many_there_were(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        for start in range(0, 20_000, 100):
            await buffer.accept(sales(100, start))
            await buffer.seal_due(shop.clock.mono)
        await buffer.accept(sales(50, 20_000))
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        window = (await buffer.stats()).lane("normal").window
        assert 50 <= window.lost_events <= 50 + MAX_WINDOW_BLOCK


async def test_memory_is_bounded_and_what_comes_on_top_is_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD_BYTES", 10_000)
    async with shop.buffer(lanes=LANES) as buffer:
        most = 0
        for start in range(0, 400, 20):
            await buffer.accept(sales(20, start))
            stats = (await buffer.stats()).lane("normal")
            most = max(most, stats.window.held_bytes)
            assert stats.staged_events == start + 20
        assert 5_000 < most <= 10_000
        await buffer.seal_all()
        assert await kept_numbers(buffer) == list(range(400))
        await assert_sound(buffer)


async def test_nothing_joins_what_should_be_on_the_disk_already(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await buffer.accept(sales(5))
        shop.clock.advance(WINDOW_S)  # and nobody has looked
        await buffer.accept(sales(5, 5))
        assert await window_of(buffer) == (WINDOW_S, 0, 0)
        assert await on_disk(buffer) == 2


async def test_what_is_held_counts_in_the_cap(shop: Shop) -> None:
    lanes = {**LANES, "bulk": LaneConfig(durability_s=60, linger_s=60, overflow=Overflow.REFUSE)}
    async with shop.buffer(max_bytes=1024 * 1024, lanes=lanes) as buffer:
        free_bytes = (await buffer.stats()).free_bytes
        number = 0
        with pytest.raises(BufferFullError):
            for number in range(100_000):
                await buffer.accept([sale(number, lane="bulk", note="x" * 900)])
        assert number * 900 < free_bytes
        await buffer.seal_all()
        assert sorted(await kept_numbers(buffer)) == list(range(number))
        await assert_sound(buffer)


async def test_a_closed_buffer_answers_nothing(shop: Shop) -> None:
    buffer = await shop.start(lanes=LANES)
    await buffer.close()
    with pytest.raises(BufferBrokenError):
        await buffer.accept(sales(1))


async def test_a_close_that_cannot_write_says_so_and_the_next_start_accounts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = await shop.start(lanes=LANES)
    await buffer.accept(sales(20))

    def full(*_: object) -> None:
        raise DiskFullError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(holding, "insert_rows", full)
        with pytest.raises(DiskFullError):
            await buffer.close()
    async with shop.buffer(lanes=LANES) as buffer:
        assert (await buffer.stats()).lane("normal").window.lost_events >= 20
        await assert_sound(buffer)


async def test_a_new_epoch_takes_what_is_held_into_the_old_one(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        epoch = buffer.epoch
        await buffer.accept(sales(5))
        outcome = await buffer.apply_resume(answer(floor=(1 << 62) | 1))
        assert outcome.rotated
        assert buffer.epoch != epoch
        await buffer.accept(sales(5, 5))
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        assert await kept_numbers(buffer) == list(range(5))
        await assert_sound(buffer)


@pytest.mark.parametrize("windowed", [False, True])
async def test_frames_that_move_into_this_epoch_do_not_overtake_what_waits(
    shop: Shop, *, windowed: bool
) -> None:
    lanes = LANES if windowed else {}
    async with shop.buffer(lanes=lanes) as buffer:
        old = buffer.epoch
        await buffer.accept(sales(5))
    async with shop.buffer(lanes=lanes) as buffer:
        await buffer.accept(sales(5, 5))
        await buffer.apply_resume(answer(StreamState(old, "normal", ()), floor=old + 1))
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        assert sorted(await kept_numbers(buffer)) == list(range(10))
        assert (await buffer.stats()).damage is None
        await assert_sound(buffer)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_mixed_nothing_is_lost_twice_or_unaccounted(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    shop = Shop(tmp_path / "buffer.db", chance=random.Random(seed))
    number = 0
    safe: set[int] = set()
    held: dict[int, list[int]] = {2: [], 3: []}
    accounted = 0
    for _ in range(8):
        buffer = await shop.start(lanes=LANES)
        stats = await buffer.stats()
        lost = sum(stats.lane(lane).window.lost_events for lane in ("normal", "bulk"))
        kept = set(await kept_numbers(buffer))
        assert safe <= kept
        missing = sum(n not in kept for numbers in held.values() for n in numbers)
        assert missing <= lost
        safe, held = kept, {2: [], 3: []}
        accounted += lost
        for _ in range(chance.randrange(30)):
            lane, count = chance.choice([1, 2, 3]), chance.randrange(1, 40)
            numbers = list(range(number, number + count))
            number += count
            names = ("critical", "high", "normal", "bulk")
            keyed = chance.random() < 0.2
            await buffer.accept(
                [sale(n, lane=names[lane]) for n in numbers],
                keys=[b"%d" % n for n in numbers] if keyed else None,
            )
            if keyed or lane == 1:
                safe.update(numbers, *([held.pop(lane)] if lane in held else []))
                held.setdefault(lane, [])
            else:
                held[lane] += numbers
            held.pop(1, None)
            shop.clock.advance(chance.random())
            buffer.look_out(sending=chance.random() < 0.5)
            if chance.random() < 0.4:
                await buffer.seal_due(shop.clock.mono)
        killed(shop, buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        lines = [lane.ledger for lane in (await buffer.stats()).lanes]
        assert all(line.balanced for line in lines)
        assert sum(line.gapped.get(GapReason.UNSYNCED, 0) for line in lines) >= accounted
        await assert_sound(buffer)


def test_no_window_is_longer_than_a_minute_and_none_is_critical(tmp_path: Path) -> None:
    for wrong in (-1, 61):
        with pytest.raises(ValueError, match="durability_s is"):
            LaneConfig(durability_s=wrong)
    with pytest.raises(ValueError, match="critical must be 0"):
        BufferConfig(path=tmp_path, lanes={"critical": LaneConfig(durability_s=1)})


async def test_concurrent_accepts_of_both_kinds_keep_their_order(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        tasks = [
            buffer.accept([sale(n)], keys=[b"%d" % n] if n % 7 == 0 else None) for n in range(100)
        ]
        places = await asyncio.gather(*tasks)
        by_sequence = {p[0].sequence: number for number, p in enumerate(places)}
        assert sorted(by_sequence) == list(range(1, 101))
        exported = [one async for one in buffer.export()]
        assert [one.sequence for one in exported] == list(range(1, 101))
        for one in exported:
            assert one.event.data["number"] == by_sequence[one.sequence]
