"""Rows with their checksums: what is written, and the check of what is read.

A row's CRC-32 covers its key too, so that a row that a damaged page shows in another place
is recognised as well. CRC-32 finds every single flipped bit.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, Final

from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import DIGEST_BYTES
from whimbrel_protocol.sequences import RangeSet

from .errors import JournalDamagedError
from .schema import MAX_OFFSET, OFFSET_BITS

CRC_BYTES: Final = 4
REMEDY: Final = "stop the aggregator and run whimbrel-aggregator salvage"
"""What an operator does about a damaged journal."""


def row_crc(*values: object) -> int:
    """Return the CRC-32 of a row's values (integers, texts, bytes, None)."""
    return zlib.crc32(repr(values).encode("utf-8", "surrogatepass"))


def check_row(what: str, crc: object, *values: object) -> None:
    """Check a row against its CRC.

    Raises:
        JournalDamagedError: they do not belong together.
    """
    if crc != row_crc(*values):
        raise JournalDamagedError(
            f"{what} does not match its checksum: the storage changed it; {REMEDY}"
        )


def frame_is_whole(data: object, digest: bytes) -> bool:
    """Say whether a frame's bytes are those that its row names."""
    return type(data) is bytes and hashlib.sha256(data).digest()[:DIGEST_BYTES] == digest


_MANY_ZONES: Final = "*"
"""No zone has such a name."""


def zones_to_text(zones: tuple[str, ...] | None) -> str:
    """Return the zones column of a frame; None stands for too many to be named."""
    return _MANY_ZONES if zones is None else ",".join(zones)


def zones_from_text(text: str) -> tuple[str, ...] | None:
    """Read the zones column of a frame."""
    if text == _MANY_ZONES:
        return None
    return tuple(text.split(",")) if text else ()


def frame_id(partition: int, offset: int) -> int:
    """Return the rowid of a frame."""
    return partition << OFFSET_BITS | offset


def offset_of(rowid: int) -> int:
    """Return the offset inside a frame's rowid."""
    return rowid & MAX_OFFSET


def partition_of_row(rowid: int) -> int:
    """Return the partition id inside a frame's rowid."""
    return rowid >> OFFSET_BITS


def pack_ranges(identity: tuple[int, int, int], ranges: RangeSet) -> bytes:
    """Return the ranges column of a stream: the packed set, then its CRC.

    ``identity`` is (device id, epoch, lane number).
    """
    data = ranges.to_bytes()
    return data + row_crc(*identity, data).to_bytes(CRC_BYTES, "big")


def unpack_ranges(identity: tuple[int, int, int], column: Any) -> RangeSet:
    """Read the ranges column of a stream.

    Raises:
        JournalDamagedError: it does not match its CRC.
    """
    ranges = ranges_in(identity, column)
    if ranges is None:
        raise JournalDamagedError(
            f"stream {identity[1]:#x}/{identity[2]} of device row {identity[0]} does not match its "
            f"checksum: the storage changed it; {REMEDY}"
        )
    return ranges


def ranges_in(identity: tuple[int, int, int], column: Any) -> RangeSet | None:
    """Return what the ranges column of a stream holds; None when it is not as it was written."""
    if type(column) is not bytes or len(column) < CRC_BYTES:
        return None
    data, crc = column[:-CRC_BYTES], int.from_bytes(column[-CRC_BYTES:], "big")
    if crc != row_crc(*identity, data):
        return None
    try:
        return RangeSet.from_bytes(data)
    except ProtocolError:
        return None  # a right checksum over rubbish: nobody wrote that
