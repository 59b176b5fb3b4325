"""Where the command line hands events over: the running agent, or its buffer when none runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.commands.offline import opened_buffer
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.localhttp.client import Answer, LocalClient, NoAgentError
from whimbrel_agent.localhttp.message import HttpError, Request

__all__ = ["BufferOutlet", "Outlet", "open_outlet"]


class Outlet(Protocol):
    """Takes bodies as ``POST /v1/events`` does."""

    def post(
        self,
        body: bytes,
        media_type: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Answer:
        """Hand one body over and give the answer, whatever its status."""
        ...


class AgentOutlet:
    """The intake of the running agent."""

    def __init__(self, client: LocalClient) -> None:
        self.client = client

    def post(
        self,
        body: bytes,
        media_type: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Answer:
        """Hand one body over."""
        fields = "&".join(f"{name}={value}" for name, value in query.items())
        target = f"/v1/events?{fields}" if fields else "/v1/events"
        return self.client.request("POST", target, body, media_type=media_type, headers=headers)


class BufferOutlet:
    """The same intake, over a buffer that this process has opened."""

    def __init__(self, runner: asyncio.Runner, buffer: Buffer) -> None:
        self.runner = runner
        self.buffer = buffer
        self._intake = EventIntake(buffer, SystemClock())

    def post(
        self,
        body: bytes,
        media_type: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Answer:
        """Hand one body over."""
        head = {**headers, "content-type": media_type}
        request = Request("POST", "/v1/events", query, head, WholeBody(body), local=True)
        try:
            response = self.runner.run(self._intake.handle(request))
        except HttpError as exc:
            response = exc.response()
        return Answer(response.status, dict(response.headers), response.body)


class WholeBody:
    """A body that is here already; see ``message.Body``."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def piece(self) -> bytes | None:
        """Give everything once, then None."""
        data, self._data = self._data, b""
        return data or None

    async def read(self, limit_bytes: int) -> bytes:
        """Give everything."""
        if len(self._data) > limit_bytes:
            raise HttpError(413, f"{len(self._data)} bytes are over the limit of {limit_bytes}")
        return await self.piece() or b""


@contextmanager
def open_outlet(config: AgentConfig) -> Iterator[AgentOutlet | BufferOutlet]:
    """Reach the running agent, or open its buffer.

    Raises:
        BufferLockedError: no agent answers, but one has the buffer open.
    """
    try:
        client = LocalClient(config.control.socket)
    except NoAgentError:
        with asyncio.Runner() as runner:
            opening = opened_buffer(config)
            buffer = runner.run(opening.__aenter__())
            try:
                yield BufferOutlet(runner, buffer)
            finally:
                runner.run(opening.__aexit__(None, None, None))
        return
    with client:
        yield AgentOutlet(client)
