"""The server's shell: listeners, connections, shutdown.

Every connection is one named task in one task group. Whatever a client does, a connection holds
at most one read of bytes, ends within the timeouts of ``HttpLimits``, and cannot take the place
of more than ``max_connections`` others.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Final

from whimbrel_agent.localhttp.connection import Connection, Handler
from whimbrel_agent.localhttp.limits import HttpLimits

__all__ = ["HttpServer"]

_log: Final = logging.getLogger(__name__)


class HttpServer:
    """Serves one handler on some listening sockets.

    Args:
        handler: gives the answer to a request; ``HttpError`` becomes its answer, anything else
            is logged and becomes 500.
        limits: see ``HttpLimits``.
        name: in task names and logs.
    """

    def __init__(self, handler: Handler, limits: HttpLimits, *, name: str) -> None:
        self._handler = handler
        self._limits = limits
        self._name = name
        self._open: set[Connection] = set()
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self.refused_connections = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until ``stop`` has been called and the last connection has ended."""
        async with asyncio.TaskGroup() as group:
            servers = [
                await asyncio.start_server(
                    lambda reader, writer: self._begin(group, reader, writer),
                    sock=listener,
                    limit=self._limits.max_head_bytes * 4,
                )
                for listener in listeners
            ]
            try:
                await self._stopping.wait()
            finally:
                for server in servers:
                    server.close()

    async def stop(self, *, grace_s: float) -> None:
        """End in order: no new connection or request, answers under way are finished.

        Connections that are still busy after ``grace_s`` are cut.
        """
        self._stopping.set()
        for connection in list(self._open):
            connection.finish()
        try:
            async with asyncio.timeout(grace_s):
                while self._open:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            _log.warning("cut %d %s connections at the deadline", len(self._open), self._name)
            for connection in list(self._open):
                connection.cut()

    def _begin(
        self,
        group: asyncio.TaskGroup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        full = len(self._open) >= self._limits.max_connections
        connection = Connection(reader, writer, self._limits, self._handler)
        if full or self._stopping.is_set():
            self.refused_connections += 1
            connection.turn_away()
            return
        self._open.add(connection)
        connection.task = group.create_task(self._serve(connection), name=f"{self._name}.client")

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)
            if not self._open:
                self._empty.set()
