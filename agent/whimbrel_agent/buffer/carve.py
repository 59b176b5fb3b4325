"""Finds intact frames and staged rows in the pages of a broken database.

It trusts no pointer of SQLite's but the chain of overflow pages. Frames and staged rows begin
with marks of their own, say how long they are and carry their own proof (signature, checksum),
so they are found wherever a page holds their beginning, in the tree or cut off from it.

The layout of records is SQLite's ("B-tree Pages" and "Record Format" in its documentation): a
record that does not fit its page keeps the first bytes there and goes on in a chain of pages,
each beginning with the number of the next.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.buffer.staging import (
    HEAD_BYTES,
    MAGIC,
    DamagedRowError,
    RowClaim,
    StagedRow,
    claim_of,
    read_row,
)
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import Frame, open_frame
from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES

FRAME_MARK: Final = b"\xd2\x84\x4d\xa2\x01\x27\x04\x48"
_FRAME_HEAD_BYTES: Final = 22
"""Mark, key id, empty unprotected map, and the longest head of the payload's length."""

_FRAME_TAIL_BYTES: Final = 66
"""Head and bytes of the signature."""


@dataclass(frozen=True, slots=True)
class CarvedRow:
    """A staged row that was found: intact, or only its claim."""

    claim: RowClaim
    row: StagedRow | None
    data: bytes


class Carver:
    """Reads one database image of whole pages, without a write-ahead log."""

    def __init__(self, image: bytes | mmap.mmap, page_bytes: int) -> None:
        self._image = image
        self._page_bytes = page_bytes

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield everything that parses as a frame, and where; signatures are not checked."""
        for offset in self._marks(FRAME_MARK):
            data = self.frame_bytes(offset)
            if data is None:
                continue
            try:
                yield offset, open_frame(data)
            except ProtocolError:
                continue  # the beginning of a frame that is not whole any more

    def frame_bytes(self, offset: int) -> bytes | None:
        """Return the bytes of the frame that begins at an offset, if they are all there."""
        size = _frame_size(self._image[offset : offset + _FRAME_HEAD_BYTES])
        return None if size is None else self._record(offset, size)

    def staged(self) -> Iterator[CarvedRow]:
        """Yield every staged row, and the claims of those that are broken."""
        for offset in self._marks(MAGIC):
            claim = claim_of(self._image[offset : offset + HEAD_BYTES])
            if claim is None:
                continue
            data = self._record(offset, claim.size_bytes) or b""
            try:
                yield CarvedRow(claim, read_row(data), data)
            except DamagedRowError:
                yield CarvedRow(claim, None, data)

    def _marks(self, mark: bytes) -> Iterator[int]:
        offset = self._image.find(mark)
        while offset >= 0:
            yield offset
            offset = self._image.find(mark, offset + 1)

    def _record(self, offset: int, size: int) -> bytes | None:
        """Return ``size`` bytes of the one blob of a record whose first byte is at ``offset``."""
        page_bytes = self._page_bytes
        end_of_page = (offset // page_bytes + 1) * page_bytes
        head = 2 + _varint_size(2 * size + 12)  # its own size, a null for the id, the blob
        local = local_bytes(size + head, page_bytes) - head
        if local >= size:
            return self._image[offset : offset + size] if offset + size <= end_of_page else None
        pointer = offset + local
        if pointer + 4 > end_of_page:
            return None
        parts = [self._image[offset:pointer]]
        missing = size - local
        page = int.from_bytes(self._image[pointer : pointer + 4], "big")
        while missing > 0:
            start = (page - 1) * page_bytes
            if page < 1 or start + page_bytes > len(self._image):
                return None
            take = min(missing, page_bytes - 4)
            parts.append(self._image[start + 4 : start + 4 + take])
            missing -= take
            page = int.from_bytes(self._image[start : start + 4], "big")
        return b"".join(parts)


def local_bytes(payload: int, page_bytes: int) -> int:
    """Return how much of a table leaf's record stays in its page."""
    most = page_bytes - 35
    if payload <= most:
        return payload
    least = (page_bytes - 12) * 32 // 255 - 23
    kept = least + (payload - least) % (page_bytes - 4)
    return kept if kept <= most else least


def _varint_size(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)


def _frame_size(head: bytes) -> int | None:
    """Return the length of the frame that begins so (COSE_Sign1 in this protocol's form)."""
    if len(head) < _FRAME_HEAD_BYTES or head[16] != 0xA0:
        return None
    kind = head[17]
    if 0x40 <= kind <= 0x57:
        start, size = 18, kind - 0x40
    elif kind == 0x58:
        start, size = 19, head[18]
    elif kind == 0x59:
        start, size = 20, int.from_bytes(head[18:20], "big")
    elif kind == 0x5A:
        start, size = 22, int.from_bytes(head[18:22], "big")
    else:
        return None
    total = start + size + _FRAME_TAIL_BYTES
    return total if total <= MAX_PAYLOAD_BYTES else None
