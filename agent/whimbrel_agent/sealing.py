"""The sealing task: has the buffer seal what is due, when the scheduler says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock
from whimbrel_agent.scheduler import SealDecision, SealInputs, decide

RETRY_FULL_NS = 5_000_000_000
"""A full disk is looked at again after this; receipts free space meanwhile."""

_log = logging.getLogger(__name__)


class SealingTask:
    """Seals until it is cancelled.

    Args:
        buffer: whose staged events are sealed.
        clock: gives monotonic time.
        sealed: called after frames were made, with whether urgent ones are among them.
    """

    def __init__(self, buffer: Buffer, clock: Clock, sealed: Callable[[bool], None]) -> None:
        self._buffer = buffer
        self._clock = clock
        self._sealed = sealed
        self._accepted = asyncio.Event()
        self._streak = Streak(_log)
        self.decision = SealDecision(None, "not started")
        buffer.on_accept(self._accepted.set)

    def look_again(self) -> None:
        """Look at what is due, since other rules hold now."""
        self._accepted.set()

    async def run(self) -> None:
        """Seal what is due, for ever."""
        while True:
            self._accepted.clear()
            deadline_ns = await self._look()
            await self._wait(self._clock.mono_ns(), deadline_ns)

    async def _look(self) -> int | None:
        now_ns = self._clock.mono_ns()
        try:
            result = await self._buffer.seal_due(now_ns)
        except BufferFullError as error:
            self._streak.failed("events could not be sealed", why=str(error))
            return now_ns + RETRY_FULL_NS
        if result.frames:
            self._sealed(result.urgent)
        return result.next_deadline_ns

    async def _wait(self, looked_ns: int, deadline_ns: int | None) -> None:
        """Wait until the scheduler wants the next look; accepts make it decide anew."""
        accepted = False
        while True:
            now_ns = self._clock.mono_ns()
            self.decision = decide(SealInputs(now_ns, looked_ns, deadline_ns, accepted))
            look_ns = self.decision.look_ns
            if look_ns is not None and look_ns <= now_ns:
                return
            wait_s = None if look_ns is None else (look_ns - now_ns) / 1e9
            try:
                async with asyncio.timeout(wait_s):
                    if accepted:  # already known: only the time is waited for
                        await asyncio.get_running_loop().create_future()
                    await self._accepted.wait()
                    accepted = True
            except TimeoutError:
                continue
