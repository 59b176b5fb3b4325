"""One local service: a handler, its server, and the sockets it is reached by."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from whimbrel_agent.localhttp.connection import Handler
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.listen import listen_tcp, listen_unix, remove_unix
from whimbrel_agent.localhttp.server import HttpServer

__all__ = ["LocalService"]

STOP_GRACE_S: Final = 5.0
"""Answers under way get this long at a stop: a commit on a slow card and its answer."""


class LocalService:
    """Listens from construction on; serves while ``run`` runs.

    Args:
        handler: gives the answers.
        limits: what a client may cost.
        name: in task names and logs.
        host: loopback address, None for no TCP.
        port: TCP port; 0 takes a free one.
        socket_path: path of a Unix socket (mode 0600), None for none.

    Raises:
        ListenError: an address cannot be listened on.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        *,
        name: str,
        host: str | None = None,
        port: int = 0,
        socket_path: Path | None = None,
    ) -> None:
        self._path = socket_path
        self._listeners: list[socket.socket] = []
        self.port: int | None = None
        self.server = HttpServer(handler, limits, name=name)
        try:
            if host is not None:
                self._listeners.append(listen_tcp(host, port))
                self.port = self._listeners[0].getsockname()[1]
            if socket_path is not None:
                self._listeners.append(listen_unix(socket_path))
        except BaseException:
            self.close()
            raise

    async def run(self) -> None:
        """Serve until ``stop`` (or cancellation)."""
        try:
            await self.server.run(self._listeners)
        finally:
            self.close()

    async def stop(self, *, grace_s: float = STOP_GRACE_S) -> None:
        """Take nothing new, finish the answers under way, then let ``run`` return."""
        await self.server.stop(grace_s=grace_s)

    def close(self) -> None:
        """Let go of the sockets; harmless when done already."""
        for listener in self._listeners:
            listener.close()
        if self._path is not None and self._listeners:
            remove_unix(self._path)
        self._listeners.clear()
