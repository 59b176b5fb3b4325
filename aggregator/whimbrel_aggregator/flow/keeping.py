"""The tasks behind flow: usage goes to its file, starved devices are told, the fleet is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from whimbrel_aggregator.logs import Streak
from whimbrel_aggregator.ports import Clock, Runner

from .control import FlowControl
from .sidefile import SideFileError
from .usage import UsageBook, UsageRow
from .usagefile import UsageFile

STORE_EVERY_S: Final = 10.0
"""What a ``kill -9`` may take from the counts."""

ANNOUNCE_EVERY_S: Final = 1.0
COUNT_EVERY_S: Final = 60.0
"""How often the enrolled devices are counted, for the rate of a return."""

_log = logging.getLogger("whimbrel.flow")


class UsageKeeper:
    """Keeps a region's usage in its file; without one it counts in memory, and says so.

    Attributes:
        book: the counts of this month.
    """

    def __init__(self, path: Path, runner: Runner, clock: Clock) -> None:
        self._path = path
        self._runner = runner
        self._clock = clock
        self._file: UsageFile | None = None
        self._streak = Streak(_log)
        self._failed = False
        self.book = UsageBook((), now_ns=clock.wall_ns())

    async def open(self) -> None:
        """Take up what was counted before."""
        try:
            self._file = await self._runner.run(partial(UsageFile, self._path))
            rows = await self._runner.run(self._file.rows)
        except SideFileError as error:
            self._fail(error)
        else:
            self.book = UsageBook(rows, now_ns=self._clock.wall_ns())

    async def store(self) -> None:
        """Write what changed; what cannot be written is written later."""
        changed = self.book.take_changed()
        if not changed:
            return
        try:
            if self._file is None:
                raise SideFileError(f"{self._path} was not opened")  # noqa: TRY301 - one path
            await self._runner.run(partial(self._file.store, changed))
        except SideFileError as error:
            self.book.give_back(changed)
            self._fail(error)
        else:
            if self._failed:
                self._failed = False
                self._streak.recovered("usage counts are stored again")

    async def rows(self, month: str | None) -> tuple[str, Sequence[UsageRow]]:
        """Return a month (None: the one in force) and its counts.

        Raises:
            SideFileError: an earlier month cannot be read.
        """
        if month is None or month == self.book.month:
            return self.book.month, self.book.rows()
        if self._file is None:
            return month, ()
        return month, await self._runner.run(partial(self._file.rows, month))

    async def run(self) -> None:
        """Store again and again until cancelled."""
        await _repeat(self.store, STORE_EVERY_S)

    async def close(self) -> None:
        """Store what changed and let go of the file."""
        await self.store()
        if self._file is not None:
            await self._runner.run(self._file.close)
            self._file = None
        await self._runner.close()

    def _fail(self, error: SideFileError) -> None:
        self._failed = True
        self._streak.failed("usage counts are kept in memory only", error=str(error))


async def keep_fed(announce: Callable[[float], Awaitable[None]]) -> None:
    """Let starved devices know when there is credit again, until cancelled."""
    await _repeat(partial(announce, ANNOUNCE_EVERY_S), ANNOUNCE_EVERY_S)


async def keep_counted(flow: FlowControl) -> None:
    """Count the fleet now and then, until cancelled."""
    await _repeat(flow.fleet, COUNT_EVERY_S)


async def _repeat(work: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await work()
        await asyncio.sleep(every_s)
