"""What a route leaves out now: its ladder, and the durable note of what was passed on which rung.

The note is written before anything is left out. Where it cannot be written, nothing is: the route
waits and says so, since leaving out is never silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from whimbrel_aggregator.journal.port import FrameRecord, Page, PartitionKey
from whimbrel_aggregator.logs import facts
from whimbrel_aggregator.ports import Clock, Runner
from whimbrel_aggregator.reading import CommittedEvent
from whimbrel_protocol.messages import Detail

from .ladder import Ladder, Rung, Rungs, asked_of_devices, silent_lanes, thinned_lanes
from .skipped import Skipped, SkippedFile, run_of
from .status import Backlog
from .summaries import thinned

_NS: Final = 1_000_000_000

_log = logging.getLogger("whimbrel.forward")


class SkippedKeeper:
    """The file of skipped runs, opened when it is first needed."""

    def __init__(self, path: Path, runner: Runner) -> None:
        self._path = path
        self._runner = runner
        self._opening = asyncio.Lock()
        self._file: SkippedFile | None = None

    async def add(self, run: Skipped, *, goes_on: bool) -> None:
        """Note a run durably; see :meth:`.skipped.SkippedFile.add`.

        Raises:
            SideFileError: it cannot be noted now.
        """
        file = await self._opened()
        await self._runner.run(partial(file.add, run, goes_on=goes_on))

    async def rows(self, forwarder: str | None, after_id: int) -> Sequence[Skipped]:
        """Return the runs, oldest first.

        Raises:
            SideFileError: they cannot be read.
        """
        if self._file is None and not self._path.exists():
            return ()
        file = await self._opened()
        return await self._runner.run(partial(file.rows, forwarder, after_id=after_id))

    async def drop(self, number: int) -> bool:
        """Forget a run; False when there is none of this id.

        Raises:
            SideFileError: it is still there.
        """
        if self._file is None and not self._path.exists():
            return False
        file = await self._opened()
        return await self._runner.run(partial(file.drop, number))

    async def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            await self._runner.run(self._file.close)
        await self._runner.close()

    async def _opened(self) -> SkippedFile:
        async with self._opening:
            if self._file is None:
                self._file = await self._runner.run(partial(SkippedFile, self._path))
            return self._file


class Thinning:
    """One route's ladder.

    Attributes:
        ladder: where the route stands.
        frames: frames that were passed without forwarding all of them, since the start.
        events: the events in these frames.
    """

    def __init__(self, name: str, rungs: Rungs, keeper: SkippedKeeper, clock: Clock) -> None:
        self._name = name
        self._rungs = rungs
        self._keeper = keeper
        self._clock = clock
        self._noted: dict[PartitionKey, tuple[float, int]] = {}
        self.ladder = Ladder()
        self.frames = 0
        self.events = 0

    @property
    def asked(self) -> Detail:
        """What is asked of the devices whose events the route selects."""
        return asked_of_devices(self.ladder.rung) if self._rungs.push_down else Detail.FULL

    @property
    def skips(self) -> bool:
        """Whether whole lanes are passed, so that pages may pass without their sink."""
        return bool(silent_lanes(self.ladder.rung))

    def look(self, backlog: Callable[[], Backlog]) -> bool:
        """Step up or down by the backlog's age; say whether that changed anything."""
        if len(self._rungs.ages) == 1:
            return False
        now_s = self._clock.mono_ns() / _NS
        before, self.ladder = (
            self.ladder,
            self.ladder.moved(self._rungs, backlog().age_s, now_s=now_s),
        )
        if self.ladder is before:
            return False
        _log.warning(
            "a forwarder stands on another rung",
            extra=facts(
                forwarder=self._name,
                rung=self.ladder.rung.value,
                before=before.rung.value,
                reason=self.ladder.reason,
            ),
        )
        return True

    async def note(self, partition: PartitionKey, page: Page) -> Rung:
        """Note durably what of a page is left out, and return the rung that holds for it.

        Raises:
            SideFileError: it cannot be noted now.
        """
        ladder = self.ladder
        lanes = thinned_lanes(ladder.rung)
        if not lanes:
            return ladder.rung
        since_s, last = self._noted.get(partition, (-1.0, 0))
        goes_on = since_s == ladder.since_s
        fresh = [
            frame
            for frame in page.frames
            if frame.key.lane in lanes and not (goes_on and frame.offset <= last)
        ]
        run = run_of(self._name, partition, ladder.rung.value, fresh)
        if run is not None:
            await self._keeper.add(run, goes_on=goes_on)
            self._noted[partition] = (ladder.since_s, run.last)
            self.frames += run.frames
            self.events += run.events
        return ladder.rung

    def leaves(self, events: Sequence[CommittedEvent], rung: Rung) -> Sequence[CommittedEvent]:
        """Return what a rung leaves of the wanted events of one frame."""
        if not events or events[0].event.lane not in thinned_lanes(rung):
            return events
        return thinned(events, rung, one_in=self._rungs.sample_one_in)

    @staticmethod
    def passes(frame: FrameRecord, rung: Rung) -> bool:
        """Say whether nothing of a frame is forwarded on a rung, so that it needs no decoding."""
        return frame.key.lane in silent_lanes(rung)
