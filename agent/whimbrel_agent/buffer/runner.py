"""Where blocking database work runs: one thread in production, the caller itself in worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ThreadRunner:
    """Runs work in one thread of its own, in the order it was handed in."""

    def __init__(self, name: str = "buffer") -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the thread; what has begun is finished even after a cancellation."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        """Finish what was handed in, then end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, lambda: None)
        self._executor.shutdown(wait=True)


class DirectRunner:
    """Runs work at once in the caller: threads would break virtual time."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` now."""
        return work()

    async def close(self) -> None:
        """Nothing to end."""
