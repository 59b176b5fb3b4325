"""The agent's buffer in this process, with its real clock, thread and files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import SystemRandom
from typing import Final

from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig, LaneConfig
from whimbrel_agent.clock import SystemClock
from whimbrel_protocol.keys import PrivateKey

from .wire import ADDRESS

ROOMY_BYTES: Final = 1024 * 1024 * 1024
"""A cap that no measurement reaches: dropping is another matter than keeping."""


@asynccontextmanager
async def open_buffer(
    folder: Path, *, lanes: Mapping[str, LaneConfig] | None = None
) -> AsyncIterator[tuple[Buffer, SystemClock]]:
    """Open a new buffer in a folder, closed at the end."""
    clock = SystemClock()
    runner = ThreadRunner()
    try:
        buffer = await Buffer.open(
            BufferConfig(path=folder / "buffer.db", max_bytes=ROOMY_BYTES, lanes=lanes or {}),
            ADDRESS,
            PrivateKey(bytes(range(32))),
            clock=clock,
            random=SystemRandom(),
            runner=runner,
        )
        try:
            yield buffer, clock
        finally:
            await buffer.close()
    finally:
        await runner.close()
