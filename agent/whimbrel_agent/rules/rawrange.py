"""Which raw events are asked for, and how they are written: NDJSON in the intake's own form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Final

from whimbrel_agent.intake.export import fields_of
from whimbrel_agent.intake.timetext import time_ns_of_text
from whimbrel_agent.localhttp.message import HttpError
from whimbrel_agent.plain import plain
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event

__all__ = ["range_of", "raw_lines"]

PIECE_BYTES: Final = 32 * 1024
"""Written at once; one write an event would cost more than making it."""


def range_of(query: Mapping[str, str]) -> tuple[str, int, int]:
    """Read source, from and to (RFC 3339) of a request.

    Raises:
        HttpError: one is missing or wrong.
    """
    for name in ("source", "from", "to"):
        if not query.get(name):
            raise HttpError(400, f"{name} is missing: ask with source, from and to (RFC 3339)")
    try:
        from_ns = time_ns_of_text("from", query["from"])
        to_ns = time_ns_of_text("to", query["to"])
    except FieldError as error:
        raise HttpError(400, str(error)) from error
    return query["source"], from_ns, to_ns


async def raw_lines(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Yield events as NDJSON, in pieces."""
    piece = bytearray()
    async for event in events:
        piece += json.dumps(plain(fields_of(event))).encode() + b"\n"
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
