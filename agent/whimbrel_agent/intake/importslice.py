"""What passes between an importer and the buffer. Pure values; the agent loads no more of imports.

A slice is at most ``SLICE_EVENTS`` events and ``SLICE_BYTES`` packed bytes, the checkpoint after
them, and the checkpoint that must be there before them, so that two importers of one id cannot
mix. The checkpoint becomes durable in the same transaction as the events it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import ImportDigest
from whimbrel_protocol.rows import pack_event, unpack_event

__all__ = ["CHECKPOINT_PREFIX", "SLICE_BYTES", "SLICE_EVENTS", "Checkpoint", "SliceToAccept"]

CHECKPOINT_PREFIX: Final = "import/"
"""In front of an import's id in the buffer's table of checkpoints."""

SLICE_EVENTS: Final = 500
SLICE_BYTES: Final = 64 * 1024
"""One transaction: fits the smallest buffer's, and costs one fsync for many rows."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far an import is; durable together with the events it counts.

    Attributes:
        fingerprint: 16 bytes that name source and mapping.
        position: where the source goes on (byte, or row id).
        rows: rows read.
        count: events accepted.
        skipped: rows that could not become events.
        digest: ``ImportDigest`` over the events.
        done: the source was read to its end.
    """

    fingerprint: bytes
    position: int = 0
    rows: int = 0
    count: int = 0
    skipped: int = 0
    digest: bytes = ImportDigest().digest
    done: bool = False

    def pack(self) -> bytes:
        """Give the checkpoint as bytes, under 150 of them."""
        return dump_value(
            [
                self.fingerprint,
                self.position,
                self.rows,
                self.count,
                self.skipped,
                self.digest,
                self.done,
            ]
        )

    @classmethod
    def unpack(cls, data: bytes) -> Checkpoint:
        """Read what ``pack`` gave.

        Raises:
            RemoteProtocolError: it is no checkpoint.
        """
        match load_value(data):
            case [
                bytes(fingerprint),
                int(position),
                int(rows),
                int(count),
                int(skipped),
                bytes(digest),
                bool(done),
            ]:
                return cls(fingerprint, position, rows, count, skipped, digest, done)
            case _:
                raise RemoteProtocolError("an import's checkpoint has another form")


@dataclass(frozen=True, slots=True)
class SliceToAccept:
    """Events with the checkpoint after them and the one expected before them."""

    events: list[Event]
    checkpoint: bytes
    expected: bytes | None

    def pack(self) -> bytes:
        """Give the slice as the control socket takes it."""
        rows = [pack_event(event) for event in self.events]
        return dump_value([self.checkpoint, self.expected, rows])

    @classmethod
    def unpack(cls, data: bytes) -> SliceToAccept:
        """Read what ``pack`` gave.

        Raises:
            RemoteProtocolError: it is no slice.
        """
        match load_value(data):
            case [bytes(checkpoint), None | bytes() as expected, list(rows)] if all(
                type(row) is bytes for row in rows
            ):
                return cls([unpack_event(row) for row in rows], checkpoint, expected)
            case _:
                raise RemoteProtocolError("an import's slice has another form")
