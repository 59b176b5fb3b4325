"""Sinks that do as a test says, and forwarders over a journal without threads, on the loop's time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.forward.ladder import Rungs
from whimbrel_aggregator.forward.port import Batch, Guarantee, Outcome
from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.forward.skipped import skipped_path
from whimbrel_aggregator.forward.thinning import SkippedKeeper, Thinning
from whimbrel_aggregator.forward.worker import Forwarder
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader, Position

START_NS = 1_795_341_600_000_000_000  # 2026-11-22T10:00:00Z

Behaviour = Callable[[Batch], Awaitable[Outcome | None]]
"""What a sink does with a batch; None: it takes it."""


class LoopClock:
    """Clocks that go with the running loop's time, from a fixed moment on."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self.start_ns = start_ns
        self._loop = asyncio.get_running_loop()

    def wall_ns(self) -> int:
        return self.start_ns + self.mono_ns()

    def mono_ns(self) -> int:
        return int(self._loop.time() * 1e9)

    @property
    def boot_id(self) -> str:
        return "test"


async def take(_: Batch) -> None:
    """Behave well."""


async def hang(_: Batch) -> None:
    """Never return."""
    await asyncio.Event().wait()


async def fail(_: Batch) -> Outcome:
    """Settle nothing."""
    return Outcome(settled=0, retry="down")


class ScriptedSink:
    """Takes batches as its ``behave`` says; remembers calls and what it took with the loop's time."""

    guarantee = Guarantee.KEYED
    max_batch_events = 100

    def __init__(self, behave: Behaviour = take) -> None:
        self.behave = behave
        self.calls: list[float] = []
        self.taken: list[tuple[float, int]] = []
        self.opened = 0

    async def open(self, generation: bytes) -> None:
        self.opened += 1

    async def position(self, partition: PartitionKey) -> Position | None:
        return None

    async def deliver(self, batch: Batch) -> Outcome:
        now_s = asyncio.get_running_loop().time()
        self.calls.append(now_s)
        outcome = await self.behave(batch)
        if outcome is not None:
            return outcome
        self.taken += [(now_s, int(str(one.event.data["number"]))) for one in batch.events]
        return Outcome(settled=len(batch.events))

    async def idle(self) -> None:
        pass

    async def close(self) -> None:
        pass

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.taken]


@asynccontextmanager
async def loop_journal(folder: Path) -> AsyncIterator[SqliteJournal]:
    """A journal without threads, whose clock goes with the loop's time."""
    journal = await SqliteJournal.open(
        JournalConfig(path=folder / "journal.db", min_free_bytes=0),
        clock=LoopClock(),
        random=random.Random(1),
        writer=DirectRunner(),
        reader=DirectRunner(),
    )
    try:
        yield journal
    finally:
        await journal.close()


def forwarder_over(
    journal: SqliteJournal,
    name: str,
    sink: ScriptedSink,
    *,
    hang_s: float = 10.0,
    rungs: Rungs | None = None,
) -> Forwarder:
    clock = LoopClock()
    keeper = SkippedKeeper(skipped_path(journal.path), DirectRunner())
    return Forwarder(
        name,
        sink,
        Selection.of(),
        journal=journal,
        reader=EventReader(journal, DirectRunner(), clock),
        clock=clock,
        random=random.Random(name),
        thinning=Thinning(name, rungs or Rungs(), keeper, clock),
        hang_s=hang_s,
    )


@asynccontextmanager
async def running(*forwarders: Forwarder) -> AsyncIterator[None]:
    """Run forwarders beside the test."""
    tasks = [asyncio.get_running_loop().create_task(one.run()) for one in forwarders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
