from __future__ import annotations

import threading

import pytest

from whimbrel_aggregator.workers import DirectWorkers, ThreadWorkers


async def test_results_come_in_the_order_of_the_items() -> None:
    workers = ThreadWorkers(3, "test")
    assert await workers.map(lambda number: number * 2, range(100)) == list(range(0, 200, 2))
    assert await workers.map(lambda number: number, []) == []
    await workers.close()


async def test_work_runs_beside_the_loop_and_its_error_is_raised() -> None:
    workers = ThreadWorkers(2, "test")
    names = await workers.map(lambda _: threading.current_thread().name, range(50))
    assert threading.current_thread().name not in names
    with pytest.raises(ZeroDivisionError):
        await workers.map(lambda number: 1 // number, [1, 0])
    await workers.close()


async def test_direct_workers_stay_in_the_callers_thread() -> None:
    workers = DirectWorkers()
    [ident] = await workers.map(lambda _: threading.get_ident(), [0])
    assert ident == threading.get_ident()
    await workers.close()
