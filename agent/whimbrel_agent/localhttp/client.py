"""A blocking HTTP client over a Unix socket: how the command line talks to a running agent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h11

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["Answer", "LocalClient", "NoAgentError", "RequestError"]

TIMEOUT_S: Final = 120.0
"""Longer than any bound of the server: a verify of a full buffer on a slow card."""

READ_BYTES: Final = 64 * 1024


class NoAgentError(WhimbrelError):
    """No agent listens on the socket."""


class RequestError(WhimbrelError):
    """The agent refused a request; ``answer`` has the status and the details."""

    def __init__(self, answer: Answer) -> None:
        try:
            members = json.loads(answer.body)
            problem = members["error"]
        except (ValueError, KeyError, TypeError):
            problem = f"the agent answered {answer.status}"
        super().__init__(str(problem))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Give the decoded body."""
        return json.loads(self.body)


class LocalClient:
    """One connection to an agent's local socket, kept over requests.

    Raises:
        NoAgentError: nobody listens there, or the socket is another user's.
    """

    def __init__(self, path: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as exc:
            self._socket.close()
            raise NoAgentError(
                f"no agent answers on {path} ({exc.strerror or exc}): start it with "
                "whimbrel-agent run, or run this command as the agent's user"
            ) from exc
        self._http = h11.Connection(h11.CLIENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and give its answer, whatever its status.

        Raises:
            NoAgentError: the connection ended.
        """
        response = self._send(
            method,
            target,
            [body],
            size_bytes=len(body),
            media_type=media_type,
            headers=headers or {},
        )
        return self._answer(response, b"".join(self._pieces()))

    def expect(self, method: str, target: str, body: bytes = b"", **options: Any) -> Answer:
        """Send one request and give its answer when it is 2xx.

        Raises:
            RequestError: any other status.
            NoAgentError: the connection ended.
        """
        answer = self.request(method, target, body, **options)
        if not 200 <= answer.status < 300:
            raise RequestError(answer)
        return answer

    def upload(self, target: str, pieces: Iterable[bytes], media_type: str) -> Answer:
        """Post a body of unknown length, piece by piece, and give the answer."""
        response = self._send("POST", target, pieces, media_type=media_type)
        return self._answer(response, b"".join(self._pieces()))

    def stream(self, method: str, target: str) -> Iterator[bytes]:
        """Send one request without a body and yield its answer's body as it comes.

        Raises:
            RequestError: the status is not 2xx.
            NoAgentError: the connection ended before the body did.
        """
        response = self._send(method, target, [], size_bytes=0)
        if not 200 <= response.status_code < 300:
            raise RequestError(self._answer(response, b"".join(self._pieces())))
        yield from self._pieces()

    def _send(
        self,
        method: str,
        target: str,
        pieces: Iterable[bytes],
        *,
        size_bytes: int | None = None,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> h11.Response:
        if self._http.our_state is not h11.IDLE:
            self._http.start_next_cycle()
        length = (
            ("transfer-encoding", "chunked")
            if size_bytes is None
            else ("content-length", str(size_bytes))
        )
        lines = [
            ("host", "localhost"),
            ("content-type", media_type),
            length,
            *(headers or {}).items(),
        ]
        try:
            self._write(h11.Request(method=method, target=target, headers=lines))
            try:
                for piece in pieces:
                    if piece:
                        self._write(h11.Data(data=piece))
                self._write(h11.EndOfMessage())
            except BrokenPipeError:
                # the agent has refused and stopped reading; its answer is on the way
                return self._head()
            return self._head()
        except OSError as exc:
            raise self._gone(exc) from exc

    def _write(self, event: h11.Event) -> None:
        self._socket.sendall(self._http.send(event) or b"")

    def _head(self) -> h11.Response:
        while not isinstance(event := self._next(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise self._gone(None)
        return event

    def _pieces(self) -> Iterator[bytes]:
        while not isinstance(event := self._next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise self._gone(None)
            yield bytes(event.data)

    def _next(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(self._socket.recv(READ_BYTES))
        except (h11.RemoteProtocolError, OSError) as exc:
            raise self._gone(exc) from exc
        return event

    def _gone(self, cause: Exception | None) -> NoAgentError:
        why = f" ({cause})" if cause else ""
        return NoAgentError(f"the agent on {self._path} ended the connection{why}")

    @staticmethod
    def _answer(response: h11.Response, body: bytes) -> Answer:
        headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, headers, body)
