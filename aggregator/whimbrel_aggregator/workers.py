"""The production :class:`Workers`: a few threads, and the direct call for simulated worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LEAST_CHUNK: Final = 8
"""Fewer items than this are not worth another thread: handing over costs about one of them."""


class ThreadWorkers:
    """Splits the items over ``threads`` threads; pays where the work frees the GIL."""

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """See :class:`whimbrel_aggregator.ports.Workers`."""
        size = max(LEAST_CHUNK, -(-len(items) // self._threads))
        chunks = [items[at : at + size] for at in range(0, len(items), size)]
        loop = asyncio.get_running_loop()

        def run(chunk: Sequence[T]) -> list[R]:
            return [work(item) for item in chunk]

        done = await asyncio.gather(
            *(loop.run_in_executor(self._executor, run, chunk) for chunk in chunks)
        )
        return [result for part in done for result in part]

    async def close(self) -> None:
        """See :class:`whimbrel_aggregator.ports.Workers`."""
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: self._executor.shutdown(wait=True)
        )


class DirectWorkers:
    """Calls in the caller's thread."""

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """See :class:`whimbrel_aggregator.ports.Workers`."""
        return [work(item) for item in items]

    async def close(self) -> None:
        """See :class:`whimbrel_aggregator.ports.Workers`."""
