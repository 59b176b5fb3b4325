"""The production :class:`Runner`: one thread, first in, first out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ThreadRunner:
    """Runs work in one thread of its own."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """See :class:`whimbrel_aggregator.ports.Runner`."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        """See :class:`whimbrel_aggregator.ports.Runner`."""
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: self._executor.shutdown(wait=True)
        )


class DirectRunner:
    """Runs work at once in the caller's thread: for simulated worlds and command lines."""

    async def run(self, work: Callable[[], T]) -> T:
        """See :class:`whimbrel_aggregator.ports.Runner`."""
        return work()

    async def close(self) -> None:
        """See :class:`whimbrel_aggregator.ports.Runner`."""
