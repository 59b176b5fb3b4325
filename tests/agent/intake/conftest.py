"""A real buffer on a real file, and ways to open it again as another process would."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_agent.clock import SystemClock
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

OpenBuffer = Callable[..., Awaitable[Buffer]]

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")


@pytest.fixture
async def open_buffer(tmp_path: Path) -> AsyncIterator[OpenBuffer]:
    """Opens the buffer of this test; closes the one that was open before."""
    opened: list[tuple[Buffer, ThreadRunner]] = []

    async def close() -> None:
        while opened:
            buffer, runner = opened.pop()
            await buffer.close()
            await runner.close()

    async def open_(**settings: object) -> Buffer:
        await close()
        runner = ThreadRunner()
        buffer = await Buffer.open(
            replace(BufferConfig(path=tmp_path / "buffer.db"), **settings),  # type: ignore[arg-type]
            ADDRESS,
            PrivateKey(bytes(32)),
            clock=SystemClock(),
            random=random.Random(7),
            runner=runner,
        )
        opened.append((buffer, runner))
        return buffer

    yield open_
    await close()


@pytest.fixture
async def buffer(open_buffer: OpenBuffer) -> Buffer:
    return await open_buffer()


async def events_in(buffer: Buffer) -> list[Event]:
    """Every event in the buffer, lane by lane, in order."""
    return [item.event async for item in buffer.export()]
