from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from committed.sinks import LoopClock
from whimbrel_aggregator.flow.keeping import STORE_EVERY_S, UsageKeeper
from whimbrel_aggregator.flow.usage import Usage
from whimbrel_aggregator.flow.usagefile import read_usage
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.values import DeviceKey
from worlds.virtual import in_virtual_time

TILL = DeviceKey("acme", "store-1", "till-1")
ONE = Usage(1, 10, 1_000)


async def opened(path: Path) -> UsageKeeper:
    keeper = UsageKeeper(path, DirectRunner(), LoopClock())
    await keeper.open()
    return keeper


@in_virtual_time
async def test_counts_survive_a_restart(tmp_path: Path) -> None:
    keeper = await opened(tmp_path / "usage")
    keeper.book.add(TILL, ONE)
    await keeper.close()
    again = await opened(tmp_path / "usage")
    again.book.add(TILL, ONE)
    assert again.book.of(("acme",)) == ONE + ONE
    await again.close()


@in_virtual_time
async def test_counts_are_stored_while_it_runs(tmp_path: Path) -> None:
    keeper = await opened(tmp_path / "usage")
    task = asyncio.get_running_loop().create_task(keeper.run())
    await asyncio.sleep(1)
    keeper.book.add(TILL, ONE)
    await asyncio.sleep(STORE_EVERY_S)
    month, rows = await keeper.rows(None)
    assert read_usage(tmp_path / "usage", month) == rows
    assert len(rows) == 4
    task.cancel()


@in_virtual_time
async def test_without_its_file_it_counts_in_memory_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        keeper = await opened(tmp_path / "no" / "folder")
        keeper.book.add(TILL, ONE)
        await keeper.store()
        await keeper.store()
    assert caplog.text.count("kept in memory only") == 1
    assert (await keeper.rows(None))[1][0].usage == ONE
    assert await keeper.rows("2025-05") == ("2025-05", ())
    await keeper.close()
