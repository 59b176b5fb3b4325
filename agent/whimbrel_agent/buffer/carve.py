"""Finds intact frames and staged rows in the pages of a broken database.

It trusts no pointer of SQLite's but the chain of overflow pages. Frames and staged rows begin
with marks of their own, say how long they are and carry their own proof (signature, checksum),
so they are found wherever a page holds their beginning, in the tree or cut off from it. How
records lie in pages: :mod:`whimbrel_protocol.sqlitepages`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

from whimbrel_agent.buffer.staging import (
    CLAIM_BYTES,
    HEAD_BYTES,
    MAGIC,
    DamagedRowError,
    RowClaim,
    StagedRow,
    claim_of,
    read_row,
    size_claimed,
)
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import Frame, open_frame
from whimbrel_protocol.sqlitepages import (
    FRAME_HEAD_BYTES,
    FRAME_MARK,
    BlobPlace,
    PageImage,
    frame_size,
    varint_size,
)


@dataclass(frozen=True, slots=True)
class CarvedRow:
    """A staged row that was found: intact with its bytes, or only its claim."""

    claim: RowClaim
    row: StagedRow | None
    data: bytes


class Carver:
    """Reads one database image of whole pages, without a write-ahead log."""

    def __init__(self, image: bytes | mmap.mmap, page_bytes: int) -> None:
        self._pages = PageImage(image, page_bytes)

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield everything that parses as a frame, and where; signatures are not checked."""
        for offset in self._pages.marks(FRAME_MARK):
            data = self.frame_bytes(offset)
            if data is None:
                continue
            try:
                yield offset, open_frame(data)
            except ProtocolError:
                continue  # the beginning of a frame that is not whole any more

    def frame_bytes(self, offset: int) -> bytes | None:
        """Return the bytes of the frame that begins at an offset, if they are all there."""
        size = frame_size(self._pages.image[offset : offset + FRAME_HEAD_BYTES])
        return None if size is None else self._record(offset, size)

    def staged(self) -> Iterator[CarvedRow]:
        """Yield every staged row, and the claims of those that are broken."""
        for offset in self._pages.marks(MAGIC):
            claim = claim_of(self._pages.image[offset : offset + CLAIM_BYTES])
            if claim is not None:
                yield self._staged_at(offset, claim)

    def _staged_at(self, offset: int, claim: RowClaim) -> CarvedRow:
        # how much of the row lies here follows from its size, which lies where the head ends:
        # in this page, or in the next of the chain after any part of the head
        for local in (HEAD_BYTES, *range(CLAIM_BYTES, HEAD_BYTES)):
            head = self._pages.read(BlobPlace(offset, HEAD_BYTES, local))
            size = None if head is None else size_claimed(head)
            data = None if size is None else self._record(offset, size)
            if data is not None:
                try:
                    return CarvedRow(claim, read_row(data), data)
                except DamagedRowError:
                    continue  # broken, or its head ends elsewhere
        return CarvedRow(claim, None, b"")

    def _record(self, offset: int, size: int) -> bytes | None:
        """Return ``size`` bytes of the one blob of a record whose first byte is at ``offset``."""
        before = 2 + varint_size(2 * size + 12)  # its own size, a null for the id, the blob
        return self._pages.blob(offset, size, before_bytes=before)
