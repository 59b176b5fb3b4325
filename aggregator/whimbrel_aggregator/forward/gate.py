"""What stands before one sink: its breaker, and a limit to how long each call may take.

A call that does not return in its time is cancelled and raises :class:`SinkHungError`; the
forwarder then closes the sink and opens it anew, as after a crash, and reads back what is there.
Work in a thread cannot be cancelled: while a thread's call has not returned, nothing more is
handed to it, so that a disk that never answers costs one thread and one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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


class SinkRunner:
    """A sink's own thread; implements ``Runner``, and knows whether a call is stuck in it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._begun = self._ended = self._left = 0

    @property
    def stuck(self) -> bool:
        """Whether work that nobody waits for any more has not ended."""
        return self._left > 0 and self._begun > self._ended

    async def run(self, work: Callable[[], T]) -> T:
        """Run work in the thread.

        Raises:
            SinkHungError: an earlier call is stuck there.
        """
        if self.stuck:
            raise SinkHungError("an earlier call has still not returned: is its disk there?")
        self._left = 0
        wanted = [work]

        def watched() -> T:
            self._begun += 1
            try:
                return wanted.pop()()  # empty where it was given up just now: nobody looks
            finally:
                self._ended += 1

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

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Wait until a delivery may pass. Say :meth:`settled` or :meth:`failed` inside."""
        while True:
            changed = self._changed
            breaker, wait_s = self.breaker.entering(now_s=self._now_s)
            self._become(breaker)
            if wait_s == 0:
                break
            try:
                async with asyncio.timeout(wait_s):
                    await changed.wait()
            except TimeoutError:
                continue
        probe = not self.closed
        try:
            yield
        finally:
            if probe:  # it failed by something that is not the sink's, or was cancelled
                self._become(self.breaker.abandoned(now_s=self._now_s))

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
