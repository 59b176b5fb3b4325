"""What every runner and every set of workers keeps: threads, the direct ones, and a world's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from whimbrel_agent.buffer import runner as agent
from whimbrel_agent.ports import SqlRunner
from whimbrel_aggregator.journal import runner as aggregator
from whimbrel_aggregator.ports import Runner, Workers
from whimbrel_aggregator.workers import DirectWorkers, ThreadWorkers
from whimbrel_sim.worlds.clocks import MachineClock
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.machine import (
    Machine,
    Process,
    ProcessDeadError,
    WorldRunner,
    WorldWorkers,
)
from whimbrel_sim.worlds.timeline import Timeline
from worlds.virtual import in_virtual_time, virtual_loop

AnyRunner = SqlRunner | Runner

RUNNERS: dict[str, Callable[[], AnyRunner]] = {
    "agent's thread": agent.ThreadRunner,
    "agent's direct": agent.DirectRunner,
    "aggregator's thread": partial(aggregator.ThreadRunner, "test"),
    "aggregator's direct": aggregator.DirectRunner,
}
THREADS = [name for name in RUNNERS if name.endswith("thread")]
IN_WORLDS = {"world": 0.0, "world, slow": 0.5}
WORKERS: dict[str, Callable[[], Workers]] = {
    "threads": partial(ThreadWorkers, 3, "test"),
    "direct": DirectWorkers,
}


def world_process(folder: Path, slow_s: float = 0.0) -> Process:
    machine = Machine(
        "machine", folder / "machine", clock=MachineClock(virtual_loop(), Random(1)),
        random=Random(1), timeline=Timeline(),
    )  # fmt: skip
    machine.slow_s = slow_s
    machine.process = Process(machine, 1)
    return machine.process


Facts = Callable[[AnyRunner], Awaitable[None]]
Prove = Callable[[Facts], None]


@pytest.fixture(params=[*RUNNERS, *IN_WORLDS])
def prove(request: pytest.FixtureRequest, tmp_path: Path) -> Prove:
    """Run the facts over each runner, in a loop of its kind."""
    name = str(request.param)

    async def run(facts: Facts) -> None:
        if name in IN_WORLDS:
            runner: AnyRunner = WorldRunner(world_process(tmp_path, IN_WORLDS[name]))
        else:
            runner = RUNNERS[name]()
        try:
            await facts(runner)
        finally:
            await runner.close()

    def in_its_loop(facts: Facts) -> None:
        factory = VirtualTimeLoop if name in IN_WORLDS else None
        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(run(facts))

    return in_its_loop


class TestRunner:
    def test_what_was_handed_in_first_is_done_first(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            done: list[int] = []
            await asyncio.gather(*(runner.run(partial(done.append, n)) for n in range(50)))
            assert done == list(range(50))

        prove(facts)

    def test_one_work_ends_before_the_next_begins(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            running, most = 0, 0

            def work() -> None:
                nonlocal running, most
                running += 1
                most = max(most, running)
                running -= 1

            await asyncio.gather(*(runner.run(work) for _ in range(50)))
            assert (running, most) == (0, 1)

        prove(facts)

    def test_the_result_comes_back(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            assert await runner.run(lambda: 42) == 42

        prove(facts)

    def test_an_error_comes_back_and_the_next_work_is_done(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            def fail() -> None:
                raise ValueError("told")

            with pytest.raises(ValueError, match="told"):
                await runner.run(fail)
            assert await runner.run(lambda: 7) == 7

        prove(facts)

    def test_a_waiter_that_gives_up_holds_up_nobody(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            done: list[str] = []
            first = asyncio.create_task(_run(runner, lambda: done.append("first")))
            second = asyncio.create_task(_run(runner, lambda: done.append("second")))
            third = asyncio.create_task(_run(runner, lambda: done.append("third")))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([first, second, third])
            assert [one for one in done if one != "second"] == ["first", "third"]

        prove(facts)

    def test_a_close_comes_after_all_that_was_handed_in(self, prove: Prove) -> None:
        async def facts(runner: AnyRunner) -> None:
            done: list[int] = []
            tasks = [asyncio.create_task(_run(runner, partial(done.append, n))) for n in range(10)]
            await asyncio.sleep(0)
            await runner.close()
            assert done == list(range(10))
            await asyncio.wait(tasks)

        prove(facts)


@pytest.mark.parametrize("name", THREADS)
async def test_work_that_has_begun_is_finished_although_its_waiter_was_cancelled(name: str) -> None:
    runner = RUNNERS[name]()
    begun, go = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(30)
        done.append("work")

    task = asyncio.create_task(_run(runner, work))
    await asyncio.to_thread(begun.wait, 30)
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await runner.run(lambda: done.append("next"))
    assert done == ["work", "next"]
    await runner.close()


@pytest.mark.parametrize("name", THREADS)
async def test_a_closed_thread_takes_no_work(name: str) -> None:
    runner = RUNNERS[name]()
    await runner.run(lambda: None)
    await runner.close()
    with pytest.raises(RuntimeError):
        await runner.run(lambda: None)


class TestWorldRunner:
    @in_virtual_time
    async def test_slow_work_that_has_begun_is_finished_although_its_waiter_was_cancelled(
        self, tmp_path: Path
    ) -> None:
        runner, done = WorldRunner(world_process(tmp_path, slow_s=5.0)), list[str]()
        task = asyncio.create_task(runner.run(lambda: done.append("work")))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        await runner.run(lambda: done.append("next"))
        assert task.cancelled()
        assert done == ["work", "next"]

    @in_virtual_time
    async def test_slow_work_that_has_not_begun_is_not_done_for_nobody(
        self, tmp_path: Path
    ) -> None:
        runner, done = WorldRunner(world_process(tmp_path, slow_s=5.0)), list[str]()
        first = asyncio.create_task(_run(runner, lambda: done.append("first")))
        second = asyncio.create_task(_run(runner, lambda: done.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        await runner.run(lambda: done.append("third"))
        assert (first.done(), done) == (True, ["first", "third"])

    @in_virtual_time
    async def test_slow_work_takes_virtual_time(self, tmp_path: Path) -> None:
        runner = WorldRunner(world_process(tmp_path, slow_s=5.0))
        begin_s = virtual_loop().time()
        for _ in range(20):
            await runner.run(lambda: None)
        assert 20 < virtual_loop().time() - begin_s < 80

    @in_virtual_time
    async def test_a_killed_process_does_no_work(self, tmp_path: Path) -> None:
        process, done = world_process(tmp_path), list[str]()
        runner = WorldRunner(process)
        process.alive = False
        with pytest.raises(ProcessDeadError):
            await runner.run(lambda: done.append("work"))
        assert done == []

    @in_virtual_time
    async def test_work_that_waited_when_the_process_was_killed_is_not_done(
        self, tmp_path: Path
    ) -> None:
        process, done = world_process(tmp_path, slow_s=5.0), list[str]()
        task = asyncio.create_task(WorldRunner(process).run(lambda: done.append("work")))
        await asyncio.sleep(0)
        process.alive = False
        await asyncio.wait([task])
        assert (task.cancelled(), done) == (True, [])


async def _run(runner: AnyRunner, work: Callable[[], None]) -> None:
    await runner.run(work)


WorkersFacts = Callable[[Workers], Awaitable[None]]
ProveWorkers = Callable[[WorkersFacts], None]


@pytest.fixture(params=[*WORKERS, "world"])
def prove_workers(request: pytest.FixtureRequest, tmp_path: Path) -> ProveWorkers:
    name = str(request.param)

    async def run(facts: WorkersFacts) -> None:
        in_world = name == "world"
        workers: Workers = WorldWorkers(world_process(tmp_path)) if in_world else WORKERS[name]()
        try:
            await facts(workers)
        finally:
            await workers.close()

    def in_its_loop(facts: WorkersFacts) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop if name == "world" else None) as loop:
            loop.run(run(facts))

    return in_its_loop


class TestWorkers:
    def test_results_come_in_the_order_of_the_items(self, prove_workers: ProveWorkers) -> None:
        async def facts(workers: Workers) -> None:
            squares = [number * number for number in range(100)]
            assert await workers.map(lambda number: number * number, range(100)) == squares

        prove_workers(facts)

    def test_nothing_gives_nothing(self, prove_workers: ProveWorkers) -> None:
        async def facts(workers: Workers) -> None:
            assert await workers.map(str, []) == []

        prove_workers(facts)

    def test_an_error_of_any_item_is_raised(self, prove_workers: ProveWorkers) -> None:
        async def facts(workers: Workers) -> None:
            with pytest.raises(ZeroDivisionError):
                await workers.map(lambda number: 1 / (50 - number), range(100))
            assert await workers.map(abs, [-1]) == [1]

        prove_workers(facts)


@in_virtual_time
async def test_a_killed_process_has_no_workers(tmp_path: Path) -> None:
    process = world_process(tmp_path)
    process.alive = False
    with pytest.raises(ProcessDeadError):
        await WorldWorkers(process).map(str, [1])
