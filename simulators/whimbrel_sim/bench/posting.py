"""Posts prepared bodies to an agent's HTTP intake, each connection one body after the other."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from whimbrel_protocol.event import Event

from .corpora import intake_line

TIMEOUT_S: Final = 60.0
_HEADERS: Final = {"content-type": "application/x-ndjson"}
_ACCEPTED: Final = 202

Connect = Callable[[], HTTPConnection]


class PostError(Exception):
    """The agent did not accept what it had to accept."""


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self._path))


def by_tcp(port: int) -> Connect:
    """Return how to connect to a loopback port."""
    return lambda: HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)


def by_socket(path: Path) -> Connect:
    """Return how to connect to a Unix socket."""
    return lambda: UnixConnection(path)


def bodies_of(events: Sequence[Event], size: int) -> list[bytes]:
    """Return NDJSON bodies of ``size`` events each; the last may be shorter."""
    lines = [intake_line(event) for event in events]
    return [b"".join(lines[at : at + size]) for at in range(0, len(lines), size)]


def post_all(connect: Connect, bodies: Sequence[bytes], *, connections: int = 1) -> float:
    """Post the bodies over kept connections and return how long it took, in seconds.

    Raises:
        PostError: a body was not accepted.
    """
    shares = [bodies[number::connections] for number in range(connections)]
    begin = perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        for done in [threads.submit(_post, connect, share) for share in shares]:
            done.result()
    return perf_counter() - begin


def get_json(connect: Connect, path: str) -> dict[str, Any]:
    """Fetch a JSON document.

    Raises:
        PostError: another answer than 200.
    """
    connection = connect()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise PostError(f"{path} was answered with {answer.status}: {text[:300]!r}")
        found: dict[str, Any] = json.loads(text)
        return found
    finally:
        connection.close()


def _post(connect: Connect, bodies: Iterable[bytes]) -> None:
    connection = connect()
    try:
        for body in bodies:
            connection.request("POST", "/v1/events", body, _HEADERS)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != _ACCEPTED:
                raise PostError(f"a body was answered with {answer.status}: {text[:300]!r}")
    finally:
        connection.close()
