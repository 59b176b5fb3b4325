"""Rules before a real buffer: what is answered is durable, once, whatever ends the process."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from buffers.harness import Shop, assert_sound
from edgerules.series import START_NS, reading, rule
from servers.waiting import eventually
from whimbrel_agent.buffer.runner import DirectRunner, ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import (
    MIN_BUFFER_BYTES,
    AcceptError,
    BufferFullError,
    KeyReusedError,
    LaneConfig,
    Overflow,
    default_lanes,
)
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.rules.gate import RuleGate, open_gate
from whimbrel_agent.rules.marks import COUNT
from whimbrel_agent.rules.values import RuleConfig
from whimbrel_protocol.event import Event

T = TypeVar("T")
BAND = rule("deadband", fields=["v"], band=1)
WINDOW = rule("window", window_s=60, lateness_s=5, fields=["v"])


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


@asynccontextmanager
async def ruled(
    shop: Shop, *rules: RuleConfig, **settings: Any
) -> AsyncIterator[tuple[Buffer, RuleGate]]:
    async with shop.buffer(**settings) as buffer:
        gate = await open_gate(buffer, rules, shop.clock)
        assert gate is not None
        yield buffer, gate


async def kept(buffer: Buffer) -> list[Event]:
    return [exported.event async for exported in buffer.export()]


def copied(folder: Path, name: str) -> Path:
    """Copy the open buffer's files, as a kill would leave them."""
    copy = folder / name
    copy.mkdir()
    for file in folder.glob("buffer.db*"):
        shutil.copy(file, copy / file.name)
    return copy


async def change(buffer: Buffer, statement: str) -> None:
    """Change the file behind the buffer's back, as damage would."""

    def work() -> None:
        with buffer._state.database.transaction() as connection:
            connection.execute(statement)

    await buffer._run(work)


def counts(events: Sequence[Event]) -> list[int]:
    return [event.extensions[COUNT] for event in events]


async def test_what_a_rule_holds_back_is_answered_without_a_number(shop: Shop) -> None:
    async with ruled(shop, BAND) as (buffer, _):
        other = Event(type="other", source="s", time_ns=0)
        group = [reading(0), reading(0.5), other, reading(0.7), reading(5), reading(5)]
        places = await buffer.accept(group)
        assert [place.sequence for place in places] == [1, 0, 2, 0, 3, 0]
        assert {place.epoch for place in places} == {buffer.epoch}
        assert [run[:4] for run in places.runs] == [
            (buffer.epoch, "normal", 1, 1),
            (buffer.epoch, "normal", 0, 1),
            (buffer.epoch, "normal", 2, 1),
            (buffer.epoch, "normal", 0, 1),
            (buffer.epoch, "normal", 3, 1),
            (buffer.epoch, "normal", 0, 1),
        ]
        again = await buffer.accept([reading(5)] * 3)
        assert [run[:4] for run in again.runs] == [(buffer.epoch, "normal", 0, 3)]
        await assert_sound(buffer)
        stats = await buffer.stats()
        assert stats.lane("normal").ledger.accepted == 3


async def test_a_group_that_no_rule_wants_goes_past_them(shop: Shop) -> None:
    async with ruled(shop, BAND) as (buffer, gate):
        other = Event(type="other", source="s", time_ns=0)
        assert [place.sequence for place in await buffer.accept([other] * 3)] == [1, 2, 3]
        assert gate.figures()["r"]["taken"] == 0


async def test_a_window_outlives_a_restart(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        await buffer.accept([reading(1, 1), reading(5, 2)])
        assert await kept(buffer) == []
    async with ruled(shop, WINDOW) as (buffer, gate):
        await buffer.accept([reading(3, 3)])
        shop.clock.advance(70)
        assert await gate.close_due() == 1
        (event,) = await kept(buffer)
        assert (event.data["count"], event.data["v_min"], event.data["v_max"]) == (3, 1, 5)
        assert gate.figures()["r"]["taken"] == 3
        assert gate.figures()["r"]["held"] == 0


async def test_what_was_answered_survives_a_kill_at_any_point(shop: Shop, tmp_path: Path) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        for number in range(6):
            await buffer.accept([reading(number, number * 7)], keys=[b"key-%d" % number])
            folder = copied(tmp_path, f"killed-{number}")
            victim = Shop(folder / "buffer.db")
            async with ruled(victim, WINDOW) as (copy, gate):
                (place,) = await copy.accept([reading(0, 0)], keys=[b"key-%d" % number])
                assert place.repeated
                await gate.close_all()
                assert sum(counts(await kept(copy))) == number + 1
                await assert_sound(copy)


async def test_a_producer_that_repeats_itself_is_counted_once(shop: Shop) -> None:
    events = [reading(1, 1), Event(type="other", source="s", time_ns=0), reading(2, 2)]
    keys = [b"a", b"b", b"a"]
    async with ruled(shop, WINDOW) as (buffer, gate):
        first = await buffer.accept(events, keys=keys)
        assert [(p.sequence, p.repeated) for p in first] == [(0, False), (1, False), (0, True)]
        assert gate.figures()["r"]["taken"] == 1
    async with ruled(shop, WINDOW) as (buffer, gate):
        again = await buffer.accept(events, keys=keys)
        assert [(p.sequence, p.repeated) for p in again] == [(0, True), (1, True), (0, True)]
        assert gate.figures()["r"]["taken"] == 1


async def test_an_event_that_passed_gets_its_number_again(shop: Shop) -> None:
    async with ruled(shop, BAND) as (buffer, gate):
        first = await buffer.accept([reading(1)], keys=[b"a"], fingerprints=[7])
        again = await buffer.accept([reading(1)] * 2, keys=[b"a", b"b"], fingerprints=[7, 8])
        assert [(p.sequence, p.repeated) for p in again] == [(1, True), (0, False)]
        assert first[0].sequence == 1
        assert gate.figures()["r"]["taken"] == 2


@pytest.mark.parametrize("prints", [[9], [9, 7]])
async def test_a_key_for_other_content_is_refused_and_nothing_is_taken(
    shop: Shop, prints: list[int]
) -> None:
    async with ruled(shop, WINDOW) as (buffer, gate):
        await buffer.accept([reading(1)], keys=[b"a"], fingerprints=[7])
        with pytest.raises(KeyReusedError) as caught:
            await buffer.accept(
                [reading(2)] * len(prints),
                keys=[b"a", b"b"][: len(prints)],
                fingerprints=prints,
            )
        assert caught.value.index == 0
        other = Event(type="other", source="s", time_ns=0)
        await buffer.accept([other], keys=[b"o"], fingerprints=[1])
        with pytest.raises(KeyReusedError) as caught:
            await buffer.accept([reading(2), other], keys=[b"n", b"o"], fingerprints=[2, 3])
        assert caught.value.index == 1
        assert gate.figures()["r"]["taken"] == 1
        (place,) = await buffer.accept([reading(2)], keys=[b"n"], fingerprints=[2])
        assert not place.repeated


async def test_one_bad_event_refuses_its_group_by_its_own_place(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, gate):
        bad = Event(type="t", source="s", time_ns=2**70)
        with pytest.raises(AcceptError) as caught:
            await buffer.accept([reading(1), bad])
        assert caught.value.index == 1
        with pytest.raises(AcceptError):
            await buffer.accept([reading(1), Event(type="t", source="s", time_ns=0, data=5)])  # type: ignore[arg-type]
        assert gate.figures()["r"]["taken"] == 0


async def test_a_buffer_without_room_takes_nothing_into_a_window(shop: Shop) -> None:
    lanes = {**default_lanes(), "normal": LaneConfig(overflow=Overflow.REFUSE)}
    async with ruled(shop, WINDOW, max_bytes=2**20, lanes=lanes) as (buffer, gate):
        taken = 0
        with pytest.raises(BufferFullError):
            for number in range(100_000):
                filler = Event(
                    type="x",
                    source="s",
                    time_ns=number,
                    data={"n": random.Random(number).randbytes(20_000)},
                )
                await buffer.accept([filler, reading(number, 1)])
                taken += 1
                await buffer.seal_all()
        assert gate.figures()["r"]["taken"] == taken
        assert gate.is_loaded
        await assert_sound(buffer)


class SlowRunner:
    """A database thread that a test can hold up."""

    def __init__(self) -> None:
        self._inner = ThreadRunner()
        self.held: asyncio.Event | None = None

    async def run(self, work: Callable[[], T]) -> T:
        result = await self._inner.run(work)
        if self.held is not None:
            await self.held.wait()
        return result

    async def close(self) -> None:
        await self._inner.close()


async def test_an_accept_whose_caller_went_away_counts_if_it_was_committed(shop: Shop) -> None:
    runner = shop.runner = SlowRunner()
    async with ruled(shop, WINDOW) as (buffer, gate):
        await buffer.accept([reading(1, 1)])
        runner.held = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await buffer.accept([reading(2, 2)])  # is committed; nobody hears of it
        runner.held = None
        await buffer.accept([reading(3, 3)])
        assert await gate.close_all() == 1
        (event,) = await kept(buffer)
        assert event.data["v_sum"] == 6
        assert gate.figures()["r"]["taken"] == 3
    await runner.close()


async def test_concurrent_accepts_are_all_counted_once(shop: Shop) -> None:
    shop.runner = ThreadRunner()
    async with ruled(shop, WINDOW) as (buffer, gate):
        await asyncio.gather(*(buffer.accept([reading(n, n % 50)] * 2) for n in range(100)))
        await gate.close_all()
        assert sum(counts(await kept(buffer))) == 200
        await assert_sound(buffer)
    await shop.runner.close()


async def test_a_checkpoint_is_durable_with_what_a_rule_took(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        await buffer.accept([reading(1)], checkpoint=("mqtt-intake", b"here"))
    async with shop.buffer() as buffer:
        assert await buffer.checkpoint("mqtt-intake") == b"here"


async def test_rules_that_are_gone_send_what_they_held_and_leave_nothing(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        await buffer.accept([reading(n, n, source=f"s{n}") for n in range(20)])
    async with shop.buffer() as buffer:
        assert await open_gate(buffer, [], shop.clock) is None
        assert counts(await kept(buffer)) == [1] * 20
        assert len(await buffer.accept([reading(1)])) == 1
    async with shop.buffer() as buffer:
        assert await buffer.read(lambda c: c.execute("SELECT count(*) FROM rules").fetchone()) == (
            0,
        )
        assert await open_gate(buffer, [], shop.clock) is None


async def test_the_largest_series_fit_the_smallest_buffer(shop: Shop) -> None:
    top = rule("top-k", by="v", k=8, window_s=1, lateness_s=3600, max_keys=1)

    def large(number: int, source: str) -> Event:
        return reading(number, number % 3, source=source, note="x" * 960)

    async with ruled(shop, top, max_bytes=MIN_BUFFER_BYTES) as (buffer, gate):
        for number in range(24):
            await buffer.accept([large(number, "a")])
        await buffer.accept([large(0, "b")])  # makes the first series go
        assert gate.figures()["r"]["evicted"] == 1
        assert len(await kept(buffer)) == 24
        for number in range(24):
            await buffer.accept([large(number, "b")])
        assert await gate.close_all() == 24
    async with ruled(shop, top, max_bytes=MIN_BUFFER_BYTES) as (buffer, gate):
        for number in range(24):
            await buffer.accept([large(number, "c")])
    async with ruled(shop, WINDOW, max_bytes=MIN_BUFFER_BYTES) as (buffer, _):
        assert sum(counts(await kept(buffer))) == 24 + 25 + 24


async def test_rules_survive_a_salvage(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        await buffer.accept([reading(1, 1)] * 3)
        await buffer.accept([Event(type="o", source="s", time_ns=0, data={"x": "y" * 300})] * 40)
        await buffer.seal_all()
        await change(buffer, "UPDATE ledger SET sum = sum + 1")
    async with ruled(shop, WINDOW) as (buffer, gate):
        assert (await buffer.stats()).damage is not None
        assert gate.figures()["r"]["held"] == 3


async def test_a_damaged_row_costs_its_series_and_is_counted(shop: Shop) -> None:
    async with ruled(shop, WINDOW) as (buffer, _):
        await buffer.accept([reading(1, source="a"), reading(1, source="b")])
        last_but_one = "(SELECT max(id) FROM rules) - 1"
        await change(buffer, f"UPDATE rules SET body = x'00' WHERE id = {last_but_one}")
    async with ruled(shop, WINDOW) as (buffer, gate):
        assert gate.damaged_rows == 1
        await buffer.accept([reading(1, source="a")])


async def test_windows_close_by_themselves(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db", runner=DirectRunner())
    clock = SystemClock()
    async with shop.buffer() as buffer:
        gate = await open_gate(buffer, [rule("window", window_s=1, lateness_s=0)], clock)
        assert gate is not None
        task = asyncio.get_running_loop().create_task(gate.run())
        await buffer.accept([Event(type="t", source="s", time_ns=clock.wall_ns(), data={"v": 1})])
        while not await kept(buffer):
            await eventually(
                lambda: gate.figures()["r"]["sent"] == 1, timeout_s=20, what="a window"
            )
        task.cancel()
        await asyncio.wait([task])


def test_start_is_a_round_moment() -> None:
    assert START_NS % 60 == 0
