"""The files sink: committed events as NDJSON, one CloudEvent a line, in rotated files.

Guarantee: transactional. Each line carries its position, so lines and position are one write:
after any crash the folder says how far it is, and no line is lost or doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from whimbrel_aggregator.forward.cloudevents import to_json_line
from whimbrel_aggregator.forward.port import Batch, Guarantee, Outcome
from whimbrel_aggregator.forward.sinks.ndjson import NdjsonFolder
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.ports import Clock, Runner
from whimbrel_aggregator.reading import CommittedEvent, Position

BATCH_EVENTS: Final = 1_000
"""Lines per sync: some 400 kB; more would cost memory and not make the disk faster."""


class FilesSink:
    """Writes to one folder; see the module. Implements ``forward.port.Sink``."""

    guarantee = Guarantee.TRANSACTIONAL
    max_batch_events = BATCH_EVENTS

    def __init__(
        self, folder: Path, *, rotate_bytes: int, rotate_s: int, runner: Runner, clock: Clock
    ) -> None:
        self._folder = NdjsonFolder(folder, rotate_bytes=rotate_bytes, rotate_s=rotate_s)
        self._runner = runner
        self._clock = clock
        self._writing = asyncio.Lock()
        self._generation = b""
        self._broken = False

    async def open(self, generation: bytes) -> None:
        """Take the folder, repair it and read back its positions."""
        self._generation = generation
        self._broken = False
        await self._runner.run(partial(self._reopen, generation))

    async def position(self, partition: PartitionKey) -> Position | None:
        """Return where the folder's lines of a partition end."""
        return self._folder.positions.get(partition)

    async def deliver(self, batch: Batch) -> Outcome:
        """Append and sync the batch's lines, but for those that are there already."""
        async with self._writing:
            try:
                if self._broken:
                    await self.open(self._generation)
                after = self._folder.positions.get(batch.partition)
                events = [event for event in batch.events if not after or event.position >= after]
                if events:
                    await self._runner.run(partial(self._append, batch.partition, events))
            except OSError as error:
                self._broken = True
                return Outcome(settled=0, retry=f"folder cannot be written: {error.strerror}")
        return Outcome(settled=len(batch.events))

    async def idle(self) -> None:
        """Finish the current file when its hour is over, although nothing comes."""
        async with self._writing:
            if not self._broken:
                await self._runner.run(partial(self._folder.rotate, self._clock.wall_ns()))

    async def close(self) -> None:
        """Let go of the folder."""
        await self._runner.run(self._folder.close)

    def _reopen(self, generation: bytes) -> None:
        self._folder.close()  # where a hanging disk kept it from being closed before
        self._folder.open(generation)

    def _append(self, partition: PartitionKey, events: Sequence[CommittedEvent]) -> None:
        lines = [
            (Position(event.position.offset, event.position.place + 1), to_json_line(event))
            for event in events
        ]
        self._folder.append(lines, partition, now_ns=self._clock.wall_ns())
