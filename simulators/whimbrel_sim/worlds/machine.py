"""A simulated machine: its clock, its card, its power, and the process that runs on it.

The process is the shipped composition root in one task. Its ports ask here at every call whether
they may go on: a machine that was cut off, killed or put to sleep answers by ending or holding
the process there, so that it can stop between any two effects.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol, TypeVar

from whimbrel_protocol.errors import WhimbrelError

from .cardport import Card, NoRecorderError, described, plain_card
from .clocks import MachineClock
from .loop import SLEEPER, VirtualTimeLoop
from .network import WORLD
from .timeline import Timeline

T = TypeVar("T")
R = TypeVar("R")

RESTART_S: Final = 5.0
"""A service manager starts a process that ended again after this."""


class DoWork(Protocol):
    """Does blocking work, and is done with it when it returns."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """Return what the work returned."""
        ...


class ProcessDeadError(asyncio.CancelledError):
    """The process does not run any more; its cleaning up reaches nothing."""


class Process:
    """One run of a program on a machine. Ports call :meth:`touch` before and after effects."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.alive = True
        self.asleep = False
        self.put_by: list[
            tuple[Callable[..., object], tuple[Any, ...], Context, asyncio.Handle]
        ] = []
        self.fuse: int | None = None
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._visits: dict[asyncio.Task[Any], None] = {}
        self.context = copy_context()
        self.context.run(SLEEPER.set, self)

    def touch(self) -> None:
        """Go on, or end here.

        Raises:
            ProcessDeadError: the process was killed, or is at this very moment.
        """
        if self.alive and self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.machine.crash(power_cut=self.machine.fuse_cuts_power, why="fuse")
        if not self.alive:
            raise ProcessDeadError

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run something as a part of this process: it ends with it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(coro, name=name, context=self.context)
        self._visits[task] = None
        task.add_done_callback(self._left, context=WORLD)
        return task

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._visits.pop(task, None)

    def end(self) -> None:
        """Cancel everything that runs in it."""
        for task in list(self._visits):
            task.cancel()


class _Job:
    """Slow work that was handed in."""

    def __init__(self) -> None:
        self.begun = False
        self.given_up = False


class WorldRunner:
    """The runner ports: work runs in the caller, in order, after the time that it takes."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._newest: asyncio.Task[Any] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` after all work handed in before it; what has begun is finished."""
        self._process.touch()
        work_s = self._process.machine.work_s()
        if work_s <= 0 and (self._newest is None or self._newest.done()):
            return self._do(work)
        job = _Job()
        done = self._process.spawn(self._in_turn(job, work, work_s, self._newest), "slow work")
        self._newest = done
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            job.given_up = not job.begun
            raise

    async def _in_turn(
        self, job: _Job, work: Callable[[], T], work_s: float, before: asyncio.Task[Any] | None
    ) -> T:
        if before is not None and not before.done():
            await asyncio.wait([before])
        if job.given_up:
            raise asyncio.CancelledError
        job.begun = True
        await asyncio.sleep(work_s)
        return self._do(work)

    def _do(self, work: Callable[[], T]) -> T:
        self._process.touch()
        try:
            result = self._process.machine.do_work(work)
        finally:
            self._process.touch()
        return result

    async def close(self) -> None:
        """Finish what was handed in."""
        if self._newest is not None and not self._newest.done():
            await asyncio.wait([self._newest])


class WorldWorkers:
    """The workers port: in the caller."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return ``work(item)`` for every item."""
        self._process.touch()
        return [work(item) for item in items]

    async def close(self) -> None:
        """Nothing to end."""


class Machine:
    """A machine with one card and at most one process; subclasses say what runs on it.

    Attributes:
        name: in the timeline.
        clock: its clocks.
        folder: where the card's contents lie now; another one after every crash.
        slow_s: virtual seconds that each piece of blocking work takes, from nothing to this.
        do_work: does blocking work; in the caller unless it is told otherwise.
        broke_off_s: when a process ended that was not told to, in the world's time.
    """

    def __init__(
        self, name: str, root: Path, *, clock: MachineClock, random: Random, timeline: Timeline
    ) -> None:
        self.name = name
        self.clock = clock
        self.random = random
        self.timeline = timeline
        self.root = root
        self.slow_s = 0.0
        self.do_work: DoWork = _in_the_caller
        self.broke_off_s: list[float] = []
        self.fuse_cuts_power = False
        self.crashing: Callable[[], None] = lambda: None
        self.crashed: Callable[[bool], None] = lambda _: None
        self.process: Process | None = None
        self.starts = 0
        self.retired = False
        self.lives = 0
        self.failures: list[str] = []
        self.gave_up: list[str] = []
        self.folder = root / "0"
        self.folder.mkdir(parents=True)
        self.new_card: Callable[[Path], Card] = plain_card
        self.card: Card = plain_card(self.folder)
        self._starting: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ for ports

    def work_s(self) -> float:
        """Return how long the next piece of blocking work takes."""
        return self.slow_s * self.random.random() if self.slow_s else 0.0

    @property
    def running(self) -> bool:
        """Whether a process is there."""
        return self.process is not None

    # ------------------------------------------------------------------ the process's life

    async def main(self, process: Process) -> None:
        """Run the program; subclasses say which."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the program, unless it runs."""
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        if self.process is not None or self.retired:
            return
        self.starts += 1
        process = self.process = Process(self, self.starts)
        self.timeline.tell(self.name, "start")
        process.task = process.spawn(self.main(process), f"{self.name}.main")
        process.task.add_done_callback(lambda task: self._ended(process, task), context=WORLD)

    def start_after(self, wait_s: float) -> None:
        """Start it later; the first of several such wishes counts."""
        if self._starting is None and self.process is None:
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(wait_s, self._start_now, context=WORLD)

    def _start_now(self) -> None:
        self._starting = None
        self.start()

    def crash(self, *, power_cut: bool, why: str, down_s: float = RESTART_S) -> None:
        """Kill the process where it is; a power cut also takes what was not synced.

        Args:
            power_cut: see above.
            why: for the timeline.
            down_s: it is started again after this.
        """
        process = self.process
        if process is None:
            return
        self.crashing()
        with suppress(NoRecorderError):
            self.card.faults.clear()  # whoever takes the image is well
        self.process = None
        process.alive = False
        self.broke_off_s.append(self._loop().time())
        self.lives += 1
        folder = self.root / str(self.lives)
        if power_cut:
            self.card.image_after_power_cut(folder, self.random)
            self.clock.begin_boot()
        else:
            self.card.image_after_kill(folder)
        self._change_folder(folder)
        self.timeline.tell(self.name, "power cut" if power_cut else "killed", why=why)
        self.timeline.note(self.name, described(folder))
        self.left()
        if process.asleep:
            self._loop().wake(process)
        process.end()
        self.crashed(power_cut)
        self.start_after(down_s)

    def replace_contents(self, source: Path) -> None:
        """Put other contents on the card (an image, a backup); nothing may run."""
        assert self.process is None
        self.lives += 1
        folder = self.root / str(self.lives)
        shutil.copytree(source, folder)
        self._change_folder(folder)

    def _change_folder(self, folder: Path) -> None:
        old, self.folder = self.folder, folder
        self.card.close()
        self.card = self.new_card(folder)
        shutil.rmtree(old, ignore_errors=True)

    def use_cards(self, new_card: Callable[[Path], Card]) -> None:
        """Let the card's contents lie on cards of this kind from now on."""
        self.new_card = new_card
        self.card.close()
        self.card = new_card(self.folder)

    def watch_crashes(self, before: Callable[[], None], after: Callable[[bool], None]) -> None:
        """Have ``before`` called before every crash, and ``after`` with whether power was cut."""
        self.crashing, self.crashed = before, after

    def left(self) -> None:
        """Tell others that the process is gone without a word: its connections are."""

    def sleep(self) -> None:
        """Stop the process where it is, as a virtual machine that is put by."""
        if self.process is not None:
            self.process.asleep = True
            self.timeline.tell(self.name, "sleeps")

    def wake(self) -> None:
        """Let it go on."""
        if self.process is not None and self.process.asleep:
            self.timeline.tell(self.name, "wakes")
            self._loop().wake(self.process)

    def mend(self) -> None:
        """Let nothing befall it any more: awake, running, its fuse taken out."""
        self.wake()
        if self.process is not None:
            self.process.fuse = None
        self.start()

    async def stop(self) -> None:
        """Stop the process in an orderly way and wait for its end."""
        process = self.process
        if process is None or process.task is None:
            return
        process.stop.set()
        await asyncio.wait([process.task])

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not process.alive:
            return
        process.alive = False
        self.process = None
        self.left()
        if error is None and process.stop.is_set():
            self.timeline.tell(self.name, "stopped")
            return
        self.broke_off_s.append(self._loop().time())
        self.timeline.tell(self.name, "ended", error=_named(error))
        if error is None or not _is_said(error):
            self.failures.append(f"{self.name} broke: {_named(error)}")
        else:
            self.gave_up.append(_named(error))
        self.start_after(RESTART_S)

    def _loop(self) -> VirtualTimeLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        return loop


def _in_the_caller(work: Callable[[], T]) -> T:
    return work()


def _is_said(error: BaseException) -> bool:
    """Say whether a program ended with an error that it knows how to explain."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_said(one) for one in error.exceptions)
    return isinstance(error, WhimbrelError)


def _named(error: BaseException | None) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_named(one) for one in error.exceptions)
    return "it returned" if error is None else f"{type(error).__name__}: {error}"
