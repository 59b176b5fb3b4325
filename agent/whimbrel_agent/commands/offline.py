"""The agent's buffer, opened by a command because no agent runs.

The lock keeps an agent from starting meanwhile; opening checks and salvages as an agent's start
would, and takes an epoch of its own.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.keyfile import read_key

__all__ = ["opened_buffer"]


@asynccontextmanager
async def opened_buffer(config: AgentConfig) -> AsyncIterator[Buffer]:
    """Open the configured buffer, and close it at the end.

    Raises:
        BufferLockedError: an agent (or another command) has it open.
    """
    runner = ThreadRunner()
    try:
        buffer = await Buffer.open(
            config.buffer,
            config.device.address,
            read_key(config.device.key_file),
            clock=SystemClock(),
            random=random.SystemRandom(),
            runner=runner,
        )
        try:
            yield buffer
        finally:
            await buffer.close()
    finally:
        await runner.close()
