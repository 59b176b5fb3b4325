"""Waiting for a fact with a deadline: the only place where the tests' servers sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

POLL_INTERVAL_S = 0.01


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return once ``condition()`` is true; ``TimeoutError`` naming ``what`` after ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} did not come true within {timeout_s:g} s")
        time.sleep(POLL_INTERVAL_S)


async def eventually(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """The same inside an event loop: other tasks run between two looks."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} did not come true within {timeout_s:g} s")
        await asyncio.sleep(POLL_INTERVAL_S)
