"""The sealing task: has the buffer seal what is due, when the scheduler says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from whimbrel_agent.buffer.sealing import Unsealed
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock
from whimbrel_agent.scheduler import SealDecision, SealInputs, decide
from whimbrel_agent.uplink.outlook import Outlook
from whimbrel_protocol.lanes import LANES

RETRY_FULL_NS = 5_000_000_000
"""A full disk is looked at again after this; receipts free space meanwhile."""

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """Who sends what is sealed: the uplink."""

    @property
    def rests(self) -> bool:
        """Whether it plans by what waits to be sealed."""
        ...

    @property
    def outlook(self) -> Outlook:
        """Whether frames can leave now, and in which detail."""
        ...

    def frames_sealed(self, *, urgent: bool) -> None:
        """Take that there are new frames."""
        ...

    def events_wait(self, waiting: tuple[Waiting, ...], *, came: bool) -> None:
        """Take what waits to be sealed."""
        ...


class SealingTask:
    """Seals until it is cancelled.

    Args:
        buffer: whose staged events are sealed.
        clock: gives monotonic time.
        sender: told of frames, and of what waits where it plans by that.
        journal: where decisions are noted.
    """

    def __init__(
        self,
        buffer: Buffer,
        clock: Clock,
        sender: Sender,
        journal: DecisionJournal | None = None,
    ) -> None:
        self._buffer = buffer
        self._clock = clock
        self._sender = sender
        self._journal = journal or DecisionJournal()
        self._accepted = asyncio.Event()
        self._streak = Streak(_log)
        self._unsealed: tuple[Unsealed, ...] = ()
        self.decision = SealDecision(None, "not started")
        buffer.on_accept(self._accepted.set)

    def look_again(self) -> None:
        """Look at what is due, since other rules hold now."""
        self._accepted.set()

    async def run(self) -> None:
        """Seal what is due, for ever."""
        while True:
            came = self._accepted.is_set()
            self._accepted.clear()
            deadline_ns = await self._look()
            if self._sender.rests:
                self._sender.events_wait(waiting_of(self._unsealed), came=came)
            await self._learn(deadline_ns)
            await self._wait(self._clock.mono_ns(), deadline_ns)

    async def _learn(self, deadline_ns: int | None) -> None:
        """Go on with the trial of a dictionary, if there is one, until events want to be looked at."""
        while await self._buffer.dictionaries.learn():
            is_late = deadline_ns is not None and self._clock.mono_ns() >= deadline_ns
            if is_late or self._accepted.is_set():
                return

    async def _look(self) -> int | None:
        now_ns = self._clock.mono_ns()
        outlook = self._sender.outlook
        self._buffer.look_out(sending=outlook.can_send, asked=outlook.asked)
        try:
            result = await self._buffer.seal_due(now_ns)
        except BufferFullError as error:
            self._unsealed = ()  # no session of the radio would help what cannot be sealed
            self._streak.failed("events could not be sealed", why=str(error))
            return now_ns + RETRY_FULL_NS
        self._unsealed = result.unsealed
        if result.frames:
            self._sender.frames_sealed(urgent=result.urgent)
        return result.next_deadline_ns

    async def _wait(self, looked_ns: int, deadline_ns: int | None) -> None:
        """Wait until the scheduler wants the next look; accepts make it decide anew."""
        accepted = False
        while True:
            now_ns = self._clock.mono_ns()
            inputs = SealInputs(now_ns, looked_ns, deadline_ns, accepted)
            self.decision = decide(inputs)
            self._journal.note("seal", self.decision, inputs, now_ns / 1e9)
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


def waiting_of(unsealed: Iterable[Unsealed]) -> tuple[Waiting, ...]:
    """Return what waits as the radio's plan has it: only the critical lane's deadline binds."""
    return tuple(
        Waiting(one.deadline_ns / 1e9, one.linger_s, binding=one.lane == LANES[0])
        for one in unsealed
    )
