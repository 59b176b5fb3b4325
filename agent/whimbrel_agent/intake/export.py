"""Events that are still in the buffer, as a stream of NDJSON or CBOR.

NDJSON is for reading: bytes are hexadecimal text there, decimals text. CBOR (a sequence of maps)
is exact, and the intake takes it back as it is. Both have the fields of ``lines`` and, under
``place``, epoch, lane and sequence; the CBOR form leaves ``place`` out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from whimbrel_agent.buffer.values import ExportedEvent
from whimbrel_agent.plain import plain
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.event import Event

__all__ = ["EXPORT_TYPES", "exported", "fields_of"]

EXPORT_TYPES: Final = {"ndjson": "application/x-ndjson", "cbor": "application/cbor-seq"}

PIECE_BYTES: Final = 32 * 1024
"""Written at once; one write an event would cost more than making it."""


async def exported(events: AsyncIterator[ExportedEvent], form: str) -> AsyncIterator[bytes]:
    """Yield the events in a form of ``EXPORT_TYPES``, in pieces."""
    piece = bytearray()
    async for item in events:
        piece += _cbor(item) if form == "cbor" else _ndjson(item)
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _cbor(item: ExportedEvent) -> bytes:
    return dump_value(fields_of(item.event))


def _ndjson(item: ExportedEvent) -> bytes:
    place = {"epoch": str(item.epoch), "lane": item.lane, "sequence": item.sequence}
    return json.dumps({**plain(fields_of(item.event)), "place": place}).encode() + b"\n"


def fields_of(event: Event) -> dict[str, Any]:
    """Give an event's fields as ``lines`` names them, without those that it does not have."""
    fields: dict[str, Any] = {
        "type": event.type,
        "source": event.source,
        "time_ns": event.time_ns,
        "data": event.data,
        "lane": event.lane,
    }
    for name in ("zone", "subject", "dedup_key"):
        if (value := getattr(event, name)) is not None:
            fields[name] = value
    if event.extensions:
        fields["extensions"] = event.extensions
    return fields
