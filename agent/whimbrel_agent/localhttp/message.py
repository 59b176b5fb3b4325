"""What handlers see of HTTP: requests, bodies, responses, refusals. No sockets here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["Body", "HttpError", "Request", "Response", "json_response", "text_of"]

JSON: Final = "application/json"


class Body(Protocol):
    """The body of a request, read while it arrives; never more than the limit in all."""

    async def piece(self) -> bytes | None:
        """Give the next piece of the body, None at its end.

        Raises:
            HttpError: 413 over the limit, 408 when the client is too slow, 400 when it breaks
                off or breaks the protocol.
        """
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """Give the whole body.

        Raises:
            HttpError: as ``piece``; 413 also past ``limit_bytes``.
        """
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One request's head and a way to its body.

    Attributes:
        method: upper case.
        path: without the query, as it came (no percent-decoding).
        query: last value of each parameter.
        headers: names in lower case; repeated ones joined by ", ".
        body: the body, not read yet.
        local: whether it came by a Unix socket.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body
    local: bool

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower case, empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``stream`` gives a body of unknown length instead of ``body``."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncIterator[bytes] | None = None


@dataclass(slots=True)
class HttpError(WhimbrelError):
    """A request is refused; becomes the answer with this status.

    Attributes:
        status: 400 to 599.
        problem: what is wrong, in words, with limit and remedy.
        details: further members of the JSON answer.
        headers: further headers, such as ``retry-after``.
    """

    status: int
    problem: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        WhimbrelError.__init__(self, self.problem)

    def response(self) -> Response:
        """Give the answer."""
        return json_response(
            self.status, {"error": self.problem, **self.details}, headers=self.headers
        )


def json_response(
    status: int, value: Mapping[str, Any], *, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Give an answer with a JSON body; ASCII only, so lone surrogates cannot break it."""
    return Response(status, text_of(value), headers=headers)


def text_of(value: Mapping[str, Any]) -> bytes:
    """Give compact JSON with a final newline, kind to people with curl."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
