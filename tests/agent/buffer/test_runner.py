"""Both runners keep the port's promises."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from functools import partial

import pytest

from whimbrel_agent.buffer.runner import DirectRunner, ThreadRunner
from whimbrel_agent.ports import SqlRunner


@pytest.fixture(params=[ThreadRunner, DirectRunner])
def runner(request: pytest.FixtureRequest) -> SqlRunner:
    made: SqlRunner = request.param()
    return made


async def test_work_runs_in_the_order_it_was_handed_in(runner: SqlRunner) -> None:
    done: list[int] = []

    async def hand_in(number: int) -> None:
        await runner.run(lambda: done.append(number))

    await asyncio.gather(*(hand_in(number) for number in range(50)))
    assert done == list(range(50))
    await runner.close()


async def test_errors_reach_the_caller_and_leave_the_runner_usable(runner: SqlRunner) -> None:
    def fail() -> None:
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        await runner.run(fail)
    assert await runner.run(lambda: 7) == 7
    await runner.close()


async def test_begun_work_is_finished_when_its_caller_is_cancelled() -> None:
    runner = ThreadRunner()
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def work() -> None:
        begun.set()
        go.wait(10)
        done.append(1)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run(work), name="work")
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        go.set()
    await runner.close()
    assert done == [1]


async def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    runner = ThreadRunner()
    begun, go = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(10)
        done.append("first")

    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run(first), name="first")
        await asyncio.to_thread(begun.wait, 10)
        second = group.create_task(runner.run(lambda: done.append("second")), name="second")
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        go.set()
    await runner.close()
    assert done == ["first"]


async def test_a_close_finishes_what_was_handed_in_and_ends_the_thread() -> None:
    runner = ThreadRunner("closed")
    done: list[int] = []
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(runner.run(partial(done.append, number)), name="work")
        await asyncio.sleep(0)
        await runner.close()
        assert done == list(range(20))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("closed")]
    await runner.close()
    with pytest.raises(RuntimeError, match="closed"):
        await runner.run(lambda: None)


def test_an_answer_for_a_loop_that_is_closed_goes_nowhere_and_ends_nothing() -> None:
    runner = ThreadRunner()
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def work() -> None:
        begun.set()
        go.wait(10)
        done.append(1)

    async def leave() -> None:
        task = asyncio.create_task(runner.run(work), name="work")
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()

    asyncio.run(leave())
    go.set()
    assert asyncio.run(runner.run(lambda: 7)) == 7
    assert done == [1]
    asyncio.run(runner.close())


async def test_a_runner_that_nobody_closed_ends_its_thread_when_it_is_gone() -> None:
    runner = ThreadRunner("forgotten")
    await runner.run(lambda: None)
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("forgotten")]
    del runner
    gc.collect()
    assert not thread.is_alive()


class Big:
    """Something whose end can be watched."""


async def test_nothing_of_finished_work_stays_in_memory() -> None:
    runner = ThreadRunner()

    def fail(big: Big) -> None:
        raise ValueError("told")

    gc.disable()  # cycles would hide until the next collection
    try:
        kept = Big()
        for work in (partial(id, kept), partial(fail, kept)):
            with contextlib.suppress(ValueError):
                await runner.run(work)
        watched = weakref.ref(kept)
        del kept, work
        await runner.run(lambda: None)
        assert watched() is None
    finally:
        gc.enable()
        await runner.close()
