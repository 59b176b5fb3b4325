"""What lies in the pages of a SQLite database, found without trusting SQLite's pointers. Pure.

Not part of the wire protocol; see :mod:`.sqlitewal` for why it lies here.

Two ways, since a flipped bit may hit either: cells of a leaf page taken apart one by one
(:func:`leaf_rows`), and blobs found by the mark that they begin with (:class:`PageImage`), in
the tree or cut off from it. Nothing here proves that what is found is whole: whoever asks
checks signature, digest or checksum. The only pointers followed are those of overflow chains.

The layout is SQLite's ("B-tree Pages" and "Record Format" in its documentation): a record that
does not fit its page keeps the first bytes there and goes on in a chain of pages, each
beginning with the number of the next.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from .limits import MAX_PAYLOAD_BYTES

FRAME_MARK: Final = b"\xd2\x84\x4d\xa2\x01\x27\x04\x48"
FRAME_HEAD_BYTES: Final = 22
"""Mark, key id, empty unprotected map, and the longest head of the payload's length."""

_FRAME_TAIL_BYTES: Final = 66
"""Head and bytes of the signature."""

_TABLE_LEAF: Final = 13
_FILE_HEADER_BYTES: Final = 100
_PAGE_HEADER_BYTES: Final = 8
_MAX_COLUMNS: Final = 64
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)
MAX_RECORD_BYTES: Final = MAX_PAYLOAD_BYTES + 4096
"""The longest record anybody here writes: a frame and the columns before it."""

Image = bytes | mmap.mmap
Value = int | float | bytes | None
"""Texts are returned as their bytes: a damaged one may not be text any more."""


class BlobPlace(NamedTuple):
    """Where a blob lies: ``local`` bytes from ``offset`` on, the others in a chain of pages."""

    offset: int
    size: int
    local: int


@dataclass(frozen=True, slots=True)
class LeafRow:
    """One cell of a table's leaf page: its row id, its columns, where the last column lies."""

    rowid: int
    values: tuple[Value, ...]
    last: BlobPlace


class PageImage:
    """One database image of whole pages, without a write-ahead log."""

    def __init__(self, image: Image, page_bytes: int) -> None:
        self.image = image
        self.page_bytes = page_bytes
        self.pages = len(image) // page_bytes

    def marks(self, mark: bytes) -> Iterator[int]:
        """Yield every offset at which ``mark`` stands."""
        offset = self.image.find(mark)
        while offset >= 0:
            yield offset
            offset = self.image.find(mark, offset + 1)

    def blob(self, offset: int, size: int, *, before_bytes: int) -> bytes | None:
        """Return ``size`` bytes of a record's last column, whose first byte is at ``offset``.

        Args:
            offset: where it begins.
            size: its whole length.
            before_bytes: bytes of the record in front of it: its header and other columns.
        """
        local = local_bytes(size + before_bytes, self.page_bytes) - before_bytes
        return self.read(BlobPlace(offset, size, local))

    def read(self, place: BlobPlace) -> bytes | None:
        """Return the bytes at a place; None when its chain leads nowhere."""
        offset, size, local = place
        page_bytes = self.page_bytes
        end_of_page = (offset // page_bytes + 1) * page_bytes
        if local >= size:
            return self.image[offset : offset + size] if offset + size <= end_of_page else None
        pointer = offset + local
        if local < 0 or pointer + 4 > end_of_page:
            return None
        parts = [self.image[offset:pointer]]
        missing = size - local
        page = int.from_bytes(self.image[pointer : pointer + 4], "big")
        while missing > 0:
            if not 1 <= page <= self.pages:
                return None
            start = (page - 1) * page_bytes
            take = min(missing, page_bytes - 4)
            parts.append(self.image[start + 4 : start + 4 + take])
            missing -= take
            page = int.from_bytes(self.image[start : start + 4], "big")
        return b"".join(parts)

    def blobs(
        self, offset: int, size: int, *, before_most: int
    ) -> Iterator[tuple[BlobPlace, bytes]]:
        """Yield what a blob may be when it is not known how many bytes lie before it.

        The columns before it shift the place where the page ends and the chain begins, but
        most lengths lead to the same place: a few candidates remain, of which one is right.
        """
        shifts = range(before_most + 1)
        locals_ = (min(size, local_bytes(size + n, self.page_bytes) - n) for n in shifts)
        for local in dict.fromkeys(locals_):
            place = BlobPlace(offset, size, local)
            data = self.read(place)
            if data is not None:
                yield place, data

    # ---- cells

    def leaf_rows(self) -> Iterator[LeafRow]:
        """Yield the rows of every page that looks like a table's leaf, free pages included."""
        for page in range(1, self.pages + 1):
            yield from self.rows_of_page(page)

    def rows_of_page(self, page: int) -> Iterator[LeafRow]:
        """Yield the rows of one page, numbered from 1, as far as its cells can be taken apart."""
        start = (page - 1) * self.page_bytes
        body = self.image[start : start + self.page_bytes]
        header = _FILE_HEADER_BYTES if page == 1 else 0
        if body[header] != _TABLE_LEAF:
            return
        cells = int.from_bytes(body[header + 3 : header + 5], "big")
        first = header + _PAGE_HEADER_BYTES
        if first + 2 * cells > len(body):
            return
        for (at,) in struct.iter_unpack(">H", body[first : first + 2 * cells]):
            row = self._row(start, body, at)
            if row is not None:
                yield row

    def _row(self, start: int, body: bytes, at: int) -> LeafRow | None:
        try:
            size, at = read_varint(body, at)
            rowid, at = read_varint(body, at)
        except IndexError:
            return None
        if not 1 < size <= MAX_RECORD_BYTES:
            return None
        local = local_bytes(size, self.page_bytes)
        record = self.read(BlobPlace(start + at, size, local))
        parsed = None if record is None else read_record(record)
        if parsed is None:
            return None
        values, before = parsed
        last = BlobPlace(start + at + before, size - before, local - before)
        return LeafRow(rowid - 2**64 if rowid >= 2**63 else rowid, values, last)


def local_bytes(payload: int, page_bytes: int) -> int:
    """Return how much of a table leaf's record stays in its page."""
    most = page_bytes - 35
    if payload <= most:
        return payload
    least = (page_bytes - 12) * 32 // 255 - 23
    kept = least + (payload - least) % (page_bytes - 4)
    return kept if kept <= most else least


def varint_size(number: int) -> int:
    """Return how many bytes SQLite writes a small number in."""
    return max(1, (number.bit_length() + 6) // 7)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and the place behind it.

    Raises:
        IndexError: the bytes end before it does.
    """
    number = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at
    return number << 8 | data[at], at + 1


def read_record(record: bytes) -> tuple[tuple[Value, ...], int] | None:
    """Return the columns of a record and where the last one begins; None when it is none."""
    try:
        head_size, at = read_varint(record, 0)
        kinds: list[int] = []
        while at < head_size and len(kinds) <= _MAX_COLUMNS:
            kind, at = read_varint(record, at)
            kinds.append(kind)
    except IndexError:
        return None
    if at != head_size or not kinds or len(kinds) > _MAX_COLUMNS:
        return None
    values: list[Value] = []
    begin = at
    for kind in kinds:
        size = _size_of_kind(kind)
        if size is None or at + size > len(record):
            return None
        begin = at
        values.append(_value(kind, record[at : at + size]))
        at += size
    return (tuple(values), begin) if at == len(record) else None


def _size_of_kind(kind: int) -> int | None:
    if kind >= 12:
        return (kind - 12) // 2
    if kind < len(_INTEGER_BYTES):
        return _INTEGER_BYTES[kind]
    return {7: 8, 8: 0, 9: 0}.get(kind)


def _value(kind: int, data: bytes) -> Value:
    if kind >= 12:
        return data
    if kind == 7:
        number: float = struct.unpack(">d", data)[0]
        return number
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(data, "big", signed=True) if kind else None


def frame_size(head: bytes) -> int | None:
    """Return the length of the frame that begins so (COSE_Sign1 in this protocol's form)."""
    if len(head) < FRAME_HEAD_BYTES or head[16] != 0xA0:
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
