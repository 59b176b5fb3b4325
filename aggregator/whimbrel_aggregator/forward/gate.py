"""What stands before one sink: its breaker, and a limit to how long each call may take.

A call that does not return in its time is cancelled and raises :class:`SinkHungError`; the
forwarder then closes the sink and opens it anew, as after a crash, and reads back what is there.
Work in a thread cannot be cancelled: while a thread's call has not returned, nothing more is
handed to it (whoever wants to waits, within a limit of its own), so that a disk that never answers
costs one thread and one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from whimbrel_aggregator.ports import Clock, Runner

from .breaker import Breaker, BreakerState
from .policy import Chance
from .port import SinkError

T = TypeVar("T")

CLOSE_S: Final = 10.0
"""How long closing a sink may take before it is left to itself: the stop of the whole aggregator
waits for it."""

_NS: Final = 1_000_000_000


class SinkHungError(SinkError):
    """A call to the sink did not return in its time."""


class GateClosedError(SinkError):
    """A delivery may not pass now: the sink's breaker is open, or a probe is on its way."""


class SinkRunner:
    """A sink's own thread; implements ``Runner``, and knows whether a call is stuck in it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._begun = self._ended = self._left = 0
        self._freed = asyncio.Event()

    @property
    def stuck(self) -> bool:
        """Whether work that nobody waits for any more has not ended."""
        return self._left > 0 and self._begun > self._ended

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in the thread, once nothing is stuck there."""
        while self.stuck:
            self._freed.clear()
            await self._freed.wait()
        self._left = 0
        wanted = [work]
        loop = asyncio.get_running_loop()

        def watched() -> T:
            self._begun += 1
            try:
                return wanted.pop()()  # empty where it was given up just now: nobody looks
            finally:
                self._ended += 1
                if self._left:
                    with suppress(RuntimeError):  # the loop is over
                        loop.call_soon_threadsafe(self._freed.set)

        try:
            return await self._runner.run(watched)
        except asyncio.CancelledError:
            self._left += 1
            wanted.clear()  # a thread's queue must not keep a batch that was given up
            raise

    async def close(self) -> None:
        """Let the thread end, unless a call is stuck in it."""
        if not self.stuck:
            await self._runner.close()


class Gate:
    """The breaker of one sink as its forwarder's tasks meet it."""

    def __init__(self, *, clock: Clock, random: Chance, hang_s: float) -> None:
        self._clock = clock
        self._random = random
        self._hang_s = hang_s
        self._changed = asyncio.Event()
        self.breaker = Breaker()

    @property
    def _now_s(self) -> float:
        return self._clock.mono_ns() / _NS

    @property
    def closed(self) -> bool:
        """Whether deliveries pass."""
        return self.breaker.state is BreakerState.CLOSED

    @property
    def retry_in_s(self) -> float:
        """How long until a probe may pass; 0 when it may, or when the breaker is closed."""
        if self.breaker.state is not BreakerState.OPEN:
            return 0.0
        return max(0.0, self.breaker.retry_s - self._now_s)

    @property
    def passable(self) -> bool:
        """Whether a delivery could pass now."""
        if self.breaker.state is BreakerState.OPEN:
            return self.retry_in_s == 0
        return self.closed

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Let a delivery pass. Say :meth:`settled` or :meth:`failed` inside.

        Raises:
            GateClosedError: it may not pass now.
        """
        breaker, wait_s = self.breaker.entering(now_s=self._now_s)
        self._become(breaker)
        if wait_s != 0:
            raise GateClosedError(f"the breaker is {breaker.state.value}: {breaker.reason}")
        probe = not self.closed
        try:
            yield
        finally:
            if probe:  # it failed by something that is not the sink's, or was cancelled
                self._become(self.breaker.abandoned(now_s=self._now_s))

    async def opens(self) -> bool:
        """Wait until a delivery may pass; True: any, False: one, as a probe."""
        while not self.closed:
            changed, wait_s = self._changed, None
            if self.breaker.state is BreakerState.OPEN:
                wait_s = self.retry_in_s
                if wait_s == 0:
                    return False
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await changed.wait()
        return True

    async def changes(self, limit_s: float) -> None:
        """Wait until the breaker's state changes, for so long at the most."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await changed.wait()

    def settled(self) -> None:
        """Note that a delivery settled something."""
        self._become(self.breaker.settled())

    def failed(self, reason: str, *, hung: bool = False, wish_s: float | None = None) -> None:
        """Note that a delivery settled nothing."""
        now_s = self._now_s
        self._become(
            self.breaker.failed(self._random, reason, now_s=now_s, hung=hung, wish_s=wish_s)
        )

    async def timely(self, call: Awaitable[T], what: str, *, limit_s: float | None = None) -> T:
        """Return what a call to the sink returns.

        Raises:
            SinkHungError: it did not return within ``limit_s`` (the forwarder's ``hang_s``).
        """
        limit_s = self._hang_s if limit_s is None else limit_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await call
        except TimeoutError as error:
            if not limit.expired():
                raise  # the sink's own
            raise SinkHungError(f"{what} did not return within {limit_s:g} s") from error

    def _become(self, breaker: Breaker) -> None:
        if breaker.state is not self.breaker.state:
            self._changed.set()
            self._changed = asyncio.Event()
        self.breaker = breaker
