"""Both runners keep the port's promises."""

from __future__ import annotations

import asyncio
import threading

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
