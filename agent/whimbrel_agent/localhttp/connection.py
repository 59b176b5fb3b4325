"""One client's connection: h11 between a stream and the handler.

The rule it keeps: one request at a time, its body read only as far as the handler wants, every
wait under a timeout, and after a refusal the client gets to read it (the rest of its body is
thrown away for a moment before the connection closes).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl

import h11

from whimbrel_agent.localhttp.guard import refuse_browsers
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.message import HttpError, Request, Response

__all__ = ["Connection", "Handler"]

Handler = Callable[[Request], Awaitable[Response]]

READ_BYTES: Final = 64 * 1024
"""One read; with one slice of lines the most that a connection holds of a body."""

MAX_QUERY_FIELDS: Final = 16
LINGER_BYTES: Final = 1024 * 1024
LINGER_S: Final = 2.0
"""How much, and how long, of an unwanted body is thrown away so that the answer arrives."""

_log: Final = logging.getLogger(__name__)


class Connection:
    """Serves one accepted connection until it ends."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: HttpLimits,
        handler: Handler,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._handler = handler
        self._http = h11.Connection(h11.SERVER, limits.max_head_bytes)
        self._busy = False
        self._finishing = False
        self.task: asyncio.Task[None] | None = None
        peer: socket.socket | None = writer.get_extra_info("socket")
        self._local = peer is not None and peer.family == socket.AF_UNIX

    def finish(self) -> None:
        """End after the answer under way, or at once when there is none."""
        self._finishing = True
        if not self._busy:
            self.cut()

    def cut(self) -> None:
        """End now."""
        if self.task is not None:
            self.task.cancel()

    def turn_away(self) -> None:
        """Say that there is no room, without a task of its own, and close."""
        self._writer.write(
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
            b"content-length: 0\r\n\r\n"
        )
        self._writer.close()

    async def serve(self) -> None:
        """Answer requests until the client, a limit or ``finish`` ends it."""
        try:
            while (head := await self._next_head()) is not None:
                self._busy = True
                await self._answer(head)
                self._busy = False
                if self._http.states != _BOTH_DONE or self._finishing:
                    break
                self._http.start_next_cycle()
            await self._linger()
        except (ConnectionError, TimeoutError) as exc:
            _log.debug("client is gone: %s", exc)
        finally:
            self._writer.close()

    async def _next_head(self) -> h11.Request | None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._limits.idle_timeout_s
        begun = False
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    return event
                if event is not h11.NEED_DATA:
                    return None
                if not begun and self._http.trailing_data[0]:
                    begun = True
                    deadline_s = loop.time() + self._limits.head_timeout_s
                async with asyncio.timeout_at(deadline_s):
                    self._http.receive_data(await self._reader.read(READ_BYTES))
        except TimeoutError:
            if begun:
                await self._send(HttpError(408, "the request's head took too long").response())
        except h11.RemoteProtocolError as exc:
            await self._refuse(exc)
        return None

    async def _refuse(self, exc: h11.RemoteProtocolError) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._send(HttpError(exc.error_status_hint, f"not HTTP/1.1: {exc}").response())

    async def _answer(self, head: h11.Request) -> None:
        try:
            request = _request(head, self, local=self._local)
            refuse_browsers(request)
            response = await self._handler(request)
        except HttpError as exc:
            response = exc.response()
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  whatever it is: the client gets 500, the log the cause
            _log.exception("request failed: %s %s", head.method.decode(), head.target[:80])
            response = HttpError(500, "internal error; the agent's log has the cause").response()
        self._take_end()
        await self._send(response)

    def _take_end(self) -> None:
        """Take the end of a body that nobody asked for, such as that of a GET.

        What still comes after it leaves the connection to be closed after the answer.
        """
        if (
            self._http.their_state is h11.SEND_BODY
            and not self._http.they_are_waiting_for_100_continue
        ):
            try:
                self._http.next_event()
            except h11.RemoteProtocolError as exc:
                _log.debug("an unread body is not HTTP/1.1: %s", exc)

    async def _send(self, response: Response) -> None:
        headers = [("content-type", response.media_type), *response.headers]
        if response.stream is None:
            headers.append(("content-length", str(len(response.body))))
        if self._finishing:
            headers.append(("connection", "close"))
        out = self._http.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if response.stream is None:
            out += self._http.send(h11.Data(data=response.body)) or b""
        else:
            await self._write(out)
            async for piece in response.stream:
                await self._write(self._http.send(h11.Data(data=piece)) or b"")
            out = b""
        out += self._http.send(h11.EndOfMessage()) or b""
        await self._write(out)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._limits.send_timeout_s):
            await self._writer.drain()

    async def _linger(self) -> None:
        """Let the client read a refusal: closing with unread bytes would reset the connection."""
        if self._http.our_state is h11.IDLE or self._reader.at_eof():
            return
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (piece := await self._reader.read(READ_BYTES)):
                    left -= len(piece)
        except TimeoutError:
            _log.debug("client goes on sending after its answer")

    async def next_body_part(self, deadline_s: float) -> bytes | None:
        """Give the next piece of the body under way, None at its end (for ``StreamBody``).

        Raises:
            HttpError: 408 too slow, 400 broken off or not HTTP.
        """
        http = self._http
        try:
            if http.they_are_waiting_for_100_continue:
                await self._write(
                    http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                )
            while (event := http.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout_at(deadline_s):
                    http.receive_data(await self._reader.read(READ_BYTES))
        except TimeoutError as exc:
            raise HttpError(
                408, f"the body took longer than {self._limits.body_timeout_s:g} s"
            ) from exc
        except h11.RemoteProtocolError as exc:
            raise HttpError(400, f"the body broke off or is not HTTP/1.1: {exc}") from exc
        return bytes(event.data) if isinstance(event, h11.Data) else None

    @property
    def limits(self) -> HttpLimits:
        """The bounds this connection keeps."""
        return self._limits


_BOTH_DONE: Final = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}


class StreamBody:
    """The body of the request under way; see ``message.Body``."""

    def __init__(self, connection: Connection, declared_bytes: int) -> None:
        self._connection = connection
        self._declared_bytes = declared_bytes
        self._size_bytes = 0
        self._deadline_s: float | None = None

    async def piece(self) -> bytes | None:
        """Give the next piece, None at the end."""
        limits = self._connection.limits
        if self._deadline_s is None:
            self._check(self._declared_bytes, limits.max_body_bytes)
            self._deadline_s = asyncio.get_running_loop().time() + limits.body_timeout_s
        piece = await self._connection.next_body_part(self._deadline_s)
        if piece is not None:
            self._size_bytes += len(piece)
            self._check(self._size_bytes, limits.max_body_bytes)
        return piece

    async def read(self, limit_bytes: int) -> bytes:
        """Give the whole body."""
        self._check(self._declared_bytes, limit_bytes)
        whole = bytearray()
        while (piece := await self.piece()) is not None:
            whole += piece
            self._check(len(whole), limit_bytes)
        return bytes(whole)

    @staticmethod
    def _check(size_bytes: int, limit_bytes: int) -> None:
        if size_bytes > limit_bytes:
            raise HttpError(
                413,
                f"the body has {size_bytes} bytes or more: at most {limit_bytes} are taken here; "
                "send it in parts",
                {"limit_bytes": limit_bytes},
            )


def _request(head: h11.Request, connection: Connection, *, local: bool) -> Request:
    # h11 bounds only a head that has not ended yet
    size_bytes = len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
    if size_bytes > connection.limits.max_head_bytes:
        raise HttpError(431, f"the head has over {connection.limits.max_head_bytes} bytes")
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path, _, query = head.target.decode("latin-1").partition("?")
    if not path.startswith("/"):
        raise HttpError(400, f"request target is {path[:80]!r}: must be a path")
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError as exc:
        raise HttpError(400, f"the query has over {MAX_QUERY_FIELDS} fields") from exc
    # h11 has checked the header; absent means chunked or no body
    body = StreamBody(connection, int(headers.get("content-length", "0")))
    return Request(head.method.decode("latin-1"), path, fields, headers, body, local)
