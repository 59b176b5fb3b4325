"""The power task in virtual time: when it looks, and whom it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.reading import NoSource, PowerReadError, PowerReading
from whimbrel_agent.power.rules import NO_BATTERY, ModeRules
from whimbrel_agent.power.task import PowerTask
from whimbrel_protocol.lanes import ClockQuality
from worlds.virtual import in_virtual_time

MAINS = PowerReading(on_mains=True, percent=80)


class LoopClock:
    """The loop's own time."""

    boot_id = b"bt01"

    def wall_ns(self) -> int:
        return self.mono_ns()

    def mono_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def quality(self) -> ClockQuality:
        return ClockQuality.SYNCED


class Supply:
    """Says what the test has it say; None is no answer."""

    name = "bench"
    silent = False

    def __init__(self, says: PowerReading | None) -> None:
        self.says = says
        self.looks = 0

    def read(self) -> PowerReading:
        self.looks += 1
        if self.says is None:
            raise PowerReadError("chip 0x36: Remote I/O error")
        return self.says


def battery(percent: float) -> PowerReading:
    return PowerReading(on_mains=False, percent=percent)


def task_of(source: Supply | NoSource, rules: ModeRules | None = None) -> PowerTask:
    return PowerTask(source, rules or ModeRules(), LoopClock())


@asynccontextmanager
async def running(task: PowerTask) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        job = group.create_task(task.run())
        yield
        job.cancel()


@in_virtual_time
async def test_it_looks_once_a_minute_on_mains() -> None:
    supply = Supply(MAINS)
    async with running(task_of(supply)):
        await asyncio.sleep(60)  # the first three are five seconds apart
        before = supply.looks
        await asyncio.sleep(86_400)
    assert supply.looks - before == 24 * 60


@in_virtual_time
async def test_it_never_looks_where_nothing_can_be_read() -> None:
    task = task_of(NoSource())
    await task.run()  # done at once
    figures = task.figures()
    assert (figures.mode, figures.reason, figures.source) == (Mode.MAINS, NO_BATTERY, "none")
    assert task.present.reason == NO_BATTERY
    assert figures.readings == 0


@in_virtual_time
async def test_listeners_are_told_of_modes_and_of_the_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    supply = Supply(MAINS)
    task = task_of(supply)
    modes: list[Mode] = []
    stops: list[str] = []
    task.present.on_mode(lambda mode, _settings, _reason: modes.append(mode))
    task.on_stop(stops.append)
    async with running(task):
        for percent in (80, 60, 40, 30, 15, 10, 4):
            supply.says = battery(percent)
            await asyncio.sleep(300)
    assert modes == [Mode.BATTERY, Mode.LOW, Mode.CRITICAL]
    assert stops == ["on battery at 4 %, at or below 5 %, confirmed by 9 readings"]
    assert task.stopped_for == stops[0]
    assert task.figures().stopping
    assert [record.message for record in caplog.records] == [
        *["power mode"] * 3,
        "the charge stops the agent",
    ]


@in_virtual_time
async def test_a_loss_of_mains_is_known_within_eighty_seconds() -> None:
    supply = Supply(MAINS)
    task = task_of(supply)
    async with running(task):
        await asyncio.sleep(3_600)
        supply.says = battery(80)
        await asyncio.sleep(80)
        assert task.present.mode is Mode.BATTERY


@in_virtual_time
async def test_a_source_that_does_not_answer_is_said_once_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    supply = Supply(battery(50))
    task = task_of(supply)
    async with running(task):
        await asyncio.sleep(60)
        supply.says = None
        await asyncio.sleep(3_600)
        assert task.present.mode is Mode.BATTERY
        assert task.figures().last_failure == "chip 0x36: Remote I/O error"
        assert task.figures().failures >= 59
        supply.says = battery(45)
        await asyncio.sleep(60)
    assert [record.message for record in caplog.records] == [
        "power mode",
        "the power supply does not answer",
        "the power supply answers",
    ]


# ------------------------------------------------------------------ before the start


async def start_after(task: PowerTask, told: list[str], tell_s: float | None = None) -> float:
    """Seconds until the start is allowed."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    assert await task.wait_for_charge(asyncio.Event(), told.append, tell_s=tell_s)
    return loop.time() - begun_s


@pytest.mark.parametrize("says", [MAINS, battery(80), battery(6), PowerReading(), None])
def test_a_start_is_not_held_up(says: PowerReading | None) -> None:
    @in_virtual_time
    async def test() -> None:
        told: list[str] = []
        assert await start_after(task_of(Supply(says)), told) < 0.1
        assert told == []

    test()


@pytest.mark.parametrize(
    "make",
    [
        lambda: task_of(NoSource()),
        lambda: task_of(Supply(battery(1)), ModeRules(stop_at_critical=False)),
    ],
)
def test_nor_where_a_charge_would_not_stop_it(make: Callable[[], PowerTask]) -> None:
    @in_virtual_time
    async def test() -> None:
        assert await start_after(make(), []) < 0.1

    test()


@in_virtual_time
async def test_one_misread_holds_a_start_up_for_seconds() -> None:
    supply = Supply(battery(1))
    told: list[str] = []

    def mend(reason: str) -> None:
        told.append(reason)
        supply.says = battery(80)

    loop = asyncio.get_running_loop()
    assert await task_of(supply).wait_for_charge(asyncio.Event(), mend)
    assert loop.time() < 6
    assert len(told) == 1


@in_virtual_time
async def test_a_start_with_an_empty_battery_waits_for_mains_and_then_stops_again() -> None:
    supply = Supply(battery(3))
    task = task_of(supply)
    stops: list[str] = []
    told: list[str] = []
    task.on_stop(stops.append)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(start_after(task, told))
        await asyncio.sleep(3_600)
        assert not waiting.done()
        assert told[-1] == "waiting for charge: on battery at 3 %, at or below 5 %"
        assert supply.looks <= 3_600 / 20 + 9
        supply.says = PowerReading(on_mains=True, percent=4)
        await asyncio.sleep(60)
        assert waiting.done()
    assert stops == []
    assert task.stopped_for == ""
    async with running(task):
        supply.says = battery(3)
        await asyncio.sleep(120)
    assert len(stops) == 1


@in_virtual_time
async def test_a_source_that_broke_does_not_hold_a_start_up_for_ever() -> None:
    supply = Supply(battery(3))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(start_after(task_of(supply), []))
        await asyncio.sleep(3_600)
        assert not waiting.done()
        supply.says = None
    assert 3_600 + 560 < waiting.result() < 3_600 + 660


@in_virtual_time
async def test_a_source_that_is_heard_again_after_the_start_can_stop_it() -> None:
    supply = Supply(battery(3))
    task = task_of(supply)
    async with asyncio.TaskGroup() as group:
        group.create_task(start_after(task, []))
        await asyncio.sleep(120)
        supply.says = None
    assert not task.figures().stopping
    async with running(task):
        supply.says = battery(3)
        await asyncio.sleep(120)
    assert task.figures().stopping


@in_virtual_time
async def test_whoever_waits_for_charge_can_be_told_to_stop_and_shows_life() -> None:
    stop = asyncio.Event()
    told: list[str] = []
    task = task_of(Supply(battery(3)))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(task.wait_for_charge(stop, told.append, tell_s=4))
        await asyncio.sleep(400)
        stop.set()
    assert waiting.result() is False
    assert len(told) >= 100
