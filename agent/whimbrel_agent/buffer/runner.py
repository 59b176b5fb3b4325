"""Where blocking database work runs: one thread in production, the caller itself in worlds."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")


class _Job:
    """Work that was handed in, and where its answer is waited for."""

    __slots__ = ("answer", "loop", "work")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()

    def do(self) -> None:
        """Do the work in this thread and send its answer to the loop."""
        if self.answer.cancelled():  # never begun: nothing was taken, nothing is owed
            return
        try:
            result = self.work()
        except BaseException as exc:  # noqa: BLE001  it is for the caller, whatever it is
            self._send(None, exc)
        else:
            self._send(result, None)
        finally:
            del self  # an error keeps this frame: it must not keep the answer that keeps the error

    def _send(self, result: object, error: BaseException | None) -> None:
        try:
            self.loop.call_soon_threadsafe(_answer, self.answer, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more


def _answer(answer: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if answer.done():
        return  # its caller was cancelled meanwhile; the work is done all the same
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


_Jobs = SimpleQueue[_Job | None]

_END: Final = None


class ThreadRunner:
    """Runs work in one thread of its own, in the order it was handed in.

    A queue and a future, since a commit takes as long as a trip through an executor's machinery
    does. A runner that nobody closed ends its thread when it is collected, or with the process;
    work that has begun is finished then too.
    """

    def __init__(self, name: str = "buffer") -> None:
        self._jobs: _Jobs = SimpleQueue()
        self._closed = False
        # a daemon, or a runner that nobody closed would keep the process from ending
        self._thread = threading.Thread(
            target=_work, args=(self._jobs,), name=f"{name}_0", daemon=True
        )
        self._end = weakref.finalize(self, _end, self._jobs, self._thread)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the thread; what has begun is finished even after a cancellation.

        Raises:
            RuntimeError: the runner was closed.
        """
        if self._closed:
            raise RuntimeError("the runner is closed: it takes no work any more")
        if self._thread.ident is None:
            self._thread.start()
        # no name for the answer here: an error keeps this frame, and the answer keeps the error
        result: T = await self._hand_in(work)
        return result

    def _hand_in(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        job = _Job(work, asyncio.get_running_loop())
        self._jobs.put(job)
        return job.answer

    async def close(self) -> None:
        """Finish what was handed in, then end the thread."""
        if not self._closed:
            await self.run(lambda: None)
            self._closed = True
            self._end()


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not _END:
        job.do()
        del job  # while waiting for the next one, nothing of this one stays in memory


def _end(jobs: _Jobs, thread: threading.Thread) -> None:
    jobs.put(_END)
    if thread.ident is not None and thread is not threading.current_thread():
        thread.join()


class DirectRunner:
    """Runs work at once in the caller: threads would break virtual time."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` now."""
        return work()

    async def close(self) -> None:
        """Nothing to end."""
