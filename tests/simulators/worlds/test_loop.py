"""The loop whose clock jumps: time, order, sleeping processes, and loops that never end."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import pytest

from whimbrel_sim.worlds import loop as loops
from whimbrel_sim.worlds.loop import SLEEPER, NumberedTask, StalledError, VirtualTimeLoop
from worlds.virtual import in_virtual_time, virtual_loop

DAY_S = 86_400.0


class Process:
    """Somebody who can be put to sleep."""

    def __init__(self) -> None:
        self.asleep = False
        self.put_by: list[Any] = []
        self.context = copy_context()
        self.context.run(SLEEPER.set, self)


@in_virtual_time
async def test_a_wait_of_a_day_moves_the_clock_by_a_day() -> None:
    loop = virtual_loop()
    begin_s = loop.time()
    await asyncio.sleep(DAY_S)
    assert loop.time() - begin_s == pytest.approx(DAY_S, abs=0.001)


def test_every_loop_begins_at_zero() -> None:
    loop = VirtualTimeLoop()
    assert loop.time() == 0.0
    loop.close()


@in_virtual_time
async def test_work_without_waiting_takes_some_time_too() -> None:
    loop = virtual_loop()
    begin_s = loop.time()
    for _ in range(10):
        await asyncio.sleep(0)
    assert loop.time() - begin_s == pytest.approx(10 * loops.STEP_S)


@in_virtual_time
async def test_timers_come_by_their_times() -> None:
    loop, came = virtual_loop(), list[int]()
    for at_s in (3, 1, 2):
        loop.call_later(at_s, came.append, at_s)
    await asyncio.sleep(4)
    assert came == [1, 2, 3]


@in_virtual_time
async def test_callbacks_that_are_due_at_once_come_as_they_were_scheduled() -> None:
    loop, came = virtual_loop(), list[int]()
    for number in range(20):
        loop.call_soon(came.append, number)
    await asyncio.sleep(0)
    assert came == list(range(20))


@in_virtual_time
async def test_timers_of_one_time_come_as_they_were_scheduled() -> None:
    loop, came = virtual_loop(), list[int]()
    at_s = loop.time() + 1
    for number in range(50):
        loop.call_at(at_s, came.append, number)
    for _ in range(7):
        cancelled = loop.call_at(at_s, came.append, -1)
        cancelled.cancel()
    await asyncio.sleep(2)
    assert came == list(range(50))


def test_a_loop_that_nobody_will_wake_says_so() -> None:
    with (
        pytest.raises(StalledError, match="no timer"),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        runner.run(asyncio.Event().wait())


def test_a_loop_that_turns_for_ever_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MAX_STEPS_AWAKE", 100)
    turns = 0

    async def spin() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with (
        pytest.raises(StalledError, match="livelock"),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        runner.run(spin())
    assert 100 <= turns < 110


def test_work_between_timers_is_no_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MAX_STEPS_AWAKE", 100)
    rounds = 0

    async def work_and_wait() -> None:
        nonlocal rounds
        for _ in range(10):
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.sleep(1)
            rounds += 1

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(work_and_wait())
    assert rounds == 10


class TestSleepingProcess:
    @in_virtual_time
    async def test_its_callbacks_wait_and_come_in_order(self) -> None:
        loop, process, came = virtual_loop(), Process(), list[int]()
        process.asleep = True
        for number in range(5):
            loop.call_soon(came.append, number, context=process.context)
        await asyncio.sleep(10)
        slept = list(came)
        loop.wake(process)
        await asyncio.sleep(0)
        assert (slept, came) == ([], [0, 1, 2, 3, 4])

    @in_virtual_time
    async def test_a_cancelled_callback_does_not_come_when_it_wakes(self) -> None:
        loop, process, came = virtual_loop(), Process(), list[int]()
        process.asleep = True
        handles = [loop.call_soon(came.append, n, context=process.context) for n in range(3)]
        handles[1].cancel()
        loop.wake(process)
        await asyncio.sleep(0)
        assert came == [0, 2]

    @in_virtual_time
    async def test_callbacks_of_others_go_on(self) -> None:
        loop, process, came = virtual_loop(), Process(), list[str]()
        process.asleep = True
        loop.call_soon(came.append, "another's")
        await asyncio.sleep(0)
        assert came == ["another's"]

    @in_virtual_time
    async def test_a_timer_that_fell_due_meanwhile_resumes_its_task_after_the_wake(self) -> None:
        loop, process, woke_s = virtual_loop(), Process(), list[float]()

        async def nap() -> None:
            await asyncio.sleep(1)
            woke_s.append(loop.time())

        task = loop.create_task(nap(), context=process.context)
        await asyncio.sleep(0.5)
        process.asleep = True
        await asyncio.sleep(100)
        assert woke_s == []
        loop.wake(process)
        await task
        assert woke_s[0] == pytest.approx(100.5, abs=0.01)


class TestTasks:
    @in_virtual_time
    async def test_a_set_of_them_is_walked_by_their_numbers(self) -> None:
        loop = virtual_loop()
        tasks = [loop.create_task(asyncio.sleep(0)) for _ in range(40)]
        walked = [hash(task) for task in {*tasks[20:], *tasks[:20]}]
        assert walked == list({hash(task) for task in tasks})
        first = hash(tasks[0])
        assert [hash(task) - first for task in tasks] == list(range(40))
        await asyncio.wait(tasks)

    def test_two_loops_number_theirs_alike(self) -> None:
        async def numbers() -> list[int]:
            loop = virtual_loop()
            tasks = [loop.create_task(asyncio.sleep(0)) for _ in range(5)]
            await asyncio.wait(tasks)
            return [hash(task) for task in tasks]

        found = []
        for _ in range(2):
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                found.append(runner.run(numbers()))
        assert found[0] == found[1]

    @in_virtual_time
    async def test_a_task_equals_only_itself(self) -> None:
        one = NumberedTask(asyncio.sleep(0), number=1, loop=virtual_loop())
        two = NumberedTask(asyncio.sleep(0), number=1, loop=virtual_loop())
        assert one == one  # noqa: PLR0124
        assert one != two
        assert len({one, two}) == 2
        await asyncio.gather(one, two)
