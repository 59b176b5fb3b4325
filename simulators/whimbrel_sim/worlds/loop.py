"""An event loop whose clock jumps: a virtual day costs what happens in it, and nothing else.

Tasks have numbers and are hashed by them, so that sets of tasks (task groups keep some) are walked
in the same order in every run. A process that sleeps, as a virtual machine may, has its callbacks
put by until it wakes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextvars import Context, ContextVar
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEP_S: Final = 1e-6
"""What one turn of the loop takes: a machine's time goes on while it works, too."""

MAX_STEPS_AWAKE: Final = 200_000
"""More turns of the loop without anybody waiting for a timer are a livelock."""


class StalledError(Exception):
    """Every task waits and nothing will ever wake one, or time stands still."""


class Sleeper(Protocol):
    """Something whose callbacks can be put by."""

    asleep: bool
    put_by: list[tuple[Callable[..., object], tuple[Any, ...], Context, asyncio.Handle]]


SLEEPER: Final[ContextVar[Sleeper | None]] = ContextVar("sleeper", default=None)
"""The process to which the running code belongs; None for the world's own."""


class _JumpingSelector(selectors.BaseSelector):
    """Waits for nothing: moves the clock to the next timer."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._steps = 0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, descriptor, events, data)
        self._keys[descriptor] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StalledError("every task waits and no timer is set")
        if timeout > 0:
            self.now_s += timeout
            self._steps = 0
        else:
            self.now_s += STEP_S
            self._steps += 1
            if self._steps > MAX_STEPS_AWAKE:
                self._steps = 0  # whoever clears up after this may take some turns, too
                raise StalledError(f"nobody waits any more at {self.now_s:.6f} s: a livelock")
        return []


class NumberedTask(asyncio.Task[T]):
    """A task that is hashed by when it was made."""

    def __init__(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, number: int, **more: Any
    ) -> None:
        self._number = number
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _NumberedTimer(asyncio.TimerHandle):
    """A timer that comes after those of the same time that were set before it.

    asyncio's heap of timers does not keep that order, and messages of one moment would overtake
    each other on their way.
    """

    place: tuple[float, int]
    _scheduled: bool  # asyncio's own

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _NumberedTimer):
            return NotImplemented
        return self.place < other.place


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Give it to ``asyncio.Runner(loop_factory=VirtualTimeLoop)``."""

    _scheduled: list[asyncio.TimerHandle]  # asyncio's own heap

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._timers = itertools.count()
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.set_task_factory(self._number)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._jumping.now_s

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As asyncio's, but what belongs to a sleeping process waits until it wakes."""
        sleeper = SLEEPER.get() if context is None else context.get(SLEEPER)
        if sleeper is None or not sleeper.asleep:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        sleeper.put_by.append((callback, args, context or Context(), handle))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's, but timers of one time come in the order in which they were set."""
        timer = _NumberedTimer(when, callback, args, self, context)
        timer.place = when, next(self._timers)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # noqa: SLF001  as asyncio does: a cancelled one is counted
        return timer

    def wake(self, sleeper: Sleeper) -> None:
        """Let a process go on with what was put by."""
        sleeper.asleep = False
        waiting, sleeper.put_by = sleeper.put_by, []
        for callback, args, context, handle in waiting:
            if not handle.cancelled():
                super().call_soon(callback, *args, context=context)

    def _number(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **more: Any
    ) -> asyncio.Future[Any]:
        return NumberedTask(coro, number=next(self._numbers), loop=loop, **more)
