from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from regions.frames import START_NS, new_frame, put, stream
from servers.waiting import eventually
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.housekeeping import (
    keep_checkpoints,
    keep_retention,
    keep_watchdog,
    policy_of,
)
from whimbrel_aggregator.journal.port import PartitionKey, RetentionPolicy
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.supervisor import Supervisor

STORE = PartitionKey("acme", "store-1")


async def until(condition: Callable[[], bool]) -> None:
    await eventually(condition, timeout_s=30, what="the housekeeping's work")


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        yield
        task.cancel()


def test_the_policy_follows_the_settings(tmp_path: Path) -> None:
    config = JournalConfig(path=tmp_path / "j", retention_days=0.5, retention_bytes=7)
    assert policy_of(config) == RetentionPolicy(max_age_ns=43_200 * 10**9, keep_bytes=7)
    none = JournalConfig(path=tmp_path / "j", retention_days=None)
    assert policy_of(none) == RetentionPolicy()


async def test_retention_runs_again_and_again_and_names_who_holds_it_back(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    await journal.attach("slow")
    await put(journal, new_frame(stream(), 1, received_ns=START_NS))
    policy = RetentionPolicy(max_age_ns=0)
    with caplog.at_level(logging.INFO, "whimbrel.journal"):
        async with running(keep_retention(journal, policy, SystemClock(), every_s=0.01)):
            await until(lambda: "hold back" in caplog.text)
            await journal.detach("slow")
            await until(lambda: "retention deleted frames" in caplog.text)
    assert caplog.text.count("hold back") == 1
    assert [state.oldest for state in await journal.partitions()] == [2]


async def test_the_log_is_brought_home_when_commits_pause(journal: SqliteJournal) -> None:
    log = journal.path.with_name(journal.path.name + "-wal")
    async with running(keep_checkpoints(journal, quiet_s=0.02)):
        await put(journal, new_frame(stream(), 1))
        await until(lambda: not log.stat().st_size)
    assert len((await journal.read(STORE, 1)).frames) == 1


async def test_the_watchdog_beats_while_the_loop_turns(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        supervisor = Supervisor({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "20000"})
        async with running(keep_watchdog(supervisor)):
            loop = asyncio.get_running_loop()
            beats = [await loop.sock_recv(listener, 100) for _ in range(3)]
    assert beats == [b"WATCHDOG=1"] * 3
    await keep_watchdog(Supervisor({}))
