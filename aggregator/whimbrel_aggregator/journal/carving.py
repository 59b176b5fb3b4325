"""Finding frames and streams in the pages of a damaged journal. Pure.

A frame proves itself: by its row's checksum and digest, or by its signature. Rows are taken
from every page that looks like a leaf; a frame whose row is broken is found by the mark that
it begins with. What proves nothing is listed, not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from whimbrel_protocol import cose
from whimbrel_protocol.dictionaries import dictionary_name, named_dictionary
from whimbrel_protocol.epoch import fork_epoch, ordinal_of
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import DIGEST_BYTES, Frame, open_frame
from whimbrel_protocol.header import FrameHeader
from whimbrel_protocol.keys import BadSignatureError, PublicKey
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet
from whimbrel_protocol.sqlitepages import (
    FRAME_HEAD_BYTES,
    FRAME_MARK,
    BlobPlace,
    LeafRow,
    PageImage,
    frame_size,
)

from .rows import frame_is_whole, ranges_in, row_crc, zones_from_text
from .values import NewFrame, StreamKey

_FRAME_COLUMNS: Final = 14
_STREAM_COLUMNS: Final = 5
_DICTIONARY_COLUMNS: Final = 6
_ZONES, _DIGEST, _CRC, _DATA = 10, 11, 12, 13
_BEFORE_MOST: Final = 2_400
"""A frame's row before its last column: 64 zone names of 32 bytes, and a dozen numbers."""

_CRC_SIZES: Final = (4, 6, 3, 2, 1, 0)
"""Bytes that SQLite writes a 32-bit checksum in, the usual first."""

MAX_LISTED: Final = 1_000
"""Findings kept in words; all are counted."""

Columns = tuple[Any, ...]
"""The columns of a frame's row, as SQLite would return them."""

Keys = Callable[[Address, bytes], Iterable[PublicKey]]
"""The keys with a key id that a device is known to have signed with."""


class Found(NamedTuple):
    """An intact frame: where its bytes lie, and what its row or its header says of it.

    ``rowid`` is None when its row is broken; ``stream`` is the id of its stream then 0.
    """

    image: int
    place: BlobPlace
    frame: NewFrame
    rowid: int | None
    stream: int
    proven: bool


class LostRow(NamedTuple):
    """A row that is whole but for its frame: what is lost, exactly."""

    rowid: int
    stream: int
    first: int
    span: int


@dataclass(slots=True)
class Carved:
    """Everything that was found in the pages."""

    rows: dict[int, Found] = field(default_factory=dict)
    loose: dict[bytes, Found] = field(default_factory=dict)
    lost: dict[int, LostRow] = field(default_factory=dict)
    ranges: dict[tuple[int, int, int], RangeSet] = field(default_factory=dict)
    stream_rows: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    dictionaries: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    unproven: list[str] = field(default_factory=list)
    unknown_keys: dict[bytes, int] = field(default_factory=dict)


class Carver:
    """Goes through the images of one journal, the better one first."""

    def __init__(self, images: list[PageImage], keys: Keys) -> None:
        self._images = images
        self._keys = keys
        self.carved = Carved()
        self._placed: set[tuple[int, int]] = set()  # (image, offset) of frames with their row

    def carve(self) -> Carved:
        """Find everything."""
        for number, image in enumerate(self._images):
            for row in image.leaf_rows():
                if len(row.values) == _FRAME_COLUMNS:
                    self._frame_row(number, row)
                elif len(row.values) == _STREAM_COLUMNS:
                    self._stream_row(row)
                elif len(row.values) == _DICTIONARY_COLUMNS:
                    self._dictionary_row(row)
        for number, image in enumerate(self._images):
            self._marks(number, image)
        for rowid in self.carved.rows:
            self.carved.lost.pop(rowid, None)
        return self.carved

    def read(self, found: Found) -> bytes:
        """Return a found frame's bytes again.

        Raises:
            LookupError: the image changed under us.
        """
        data = self._images[found.image].read(found.place)
        if data is None or not frame_is_whole(data, found.frame.digest):
            raise LookupError(f"frame at {found.place.offset} of the image is gone")
        return data

    # ---- rows

    def _stream_row(self, row: LeafRow) -> None:
        _, device, epoch, lane, column = row.values
        identity = (device, epoch, lane)
        if not all(type(one) is int for one in identity) or lane not in range(len(LANES)):
            return
        ranges = ranges_in(identity, column)  # type: ignore[arg-type]
        if ranges is None:
            return
        # an older version of the row may lie in a free page: ranges only ever grow
        known = self.carved.ranges.setdefault(identity, RangeSet())  # type: ignore[arg-type]
        for first, last in ranges:
            known.add(first, last)
        self.carved.stream_rows[row.rowid] = identity  # type: ignore[assignment]

    def _dictionary_row(self, row: LeafRow) -> None:
        _, device, name, _, content, _ = row.values
        # its name proves the content, wherever it lies; whose it is, its device's frames say too
        if type(content) is bytes and type(name) is bytes and dictionary_name(content) == name:
            self.carved.dictionaries[device if type(device) is int else 0, name] = content

    def _frame_row(self, number: int, row: LeafRow) -> None:
        known = self.carved.rows.get(row.rowid)
        if known is not None and known.image == number:
            return
        columns = _columns(row)
        data = row.values[_DATA]
        if columns is None or type(data) is not bytes:
            return
        if not frame_is_whole(data, columns[_DIGEST]):
            self.carved.lost[row.rowid] = LostRow(row.rowid, *columns[1:4])
            return
        self._placed.add((number, row.last.offset))
        if known is not None:
            return
        signed = self._signed(data)
        if signed is False:
            self.carved.lost[row.rowid] = LostRow(row.rowid, *columns[1:4])
            return
        frame = _frame_of_row(columns, data)
        self.carved.rows[row.rowid] = Found(
            number, row.last, frame, row.rowid, columns[1], bool(signed)
        )

    def _signed(self, data: bytes) -> bool | None:
        """Say whether a known key signed a frame; None when its key is not known."""
        try:
            signed = cose.parse(data)
            address = open_frame(data).header.address
        except ProtocolError:
            return None  # refused in its time, and stored as it came: its row speaks for it
        verdict = None
        for key in self._keys(address, signed.key_id):
            try:
                signed.verify(key)
            except BadSignatureError:
                verdict = False
            else:
                return True
        if verdict is None:
            counts = self.carved.unknown_keys
            counts[signed.key_id] = counts.get(signed.key_id, 0) + 1
        return verdict

    # ---- frames without a row

    def _marks(self, number: int, image: PageImage) -> None:
        for offset in image.marks(FRAME_MARK):
            if (number, offset) in self._placed:
                continue
            size = frame_size(image.image[offset : offset + FRAME_HEAD_BYTES])
            if size is not None:
                self._loose(number, image, offset, size)

    def _loose(self, number: int, image: PageImage, offset: int, size: int) -> None:
        parsed = None
        for place, data in image.blobs(offset, size, before_most=_BEFORE_MOST):
            try:
                opened = open_frame(data)
            except ProtocolError:
                continue  # cut at the wrong place, or damaged
            parsed = opened.header
            digest = hashlib.sha256(data).digest()[:DIGEST_BYTES]
            signed = self._signed(data)
            if signed or (signed is None and _digest_before(image, offset, digest)):
                frame = _frame_of_header(opened, digest)
                found = Found(number, place, frame, None, 0, bool(signed))
                self.carved.loose.setdefault(digest, found)
                return
        if parsed is not None and len(self.carved.unproven) < MAX_LISTED:
            self.carved.unproven.append(
                f"{parsed.address} {parsed.lane} {parsed.first}..{parsed.last} of epoch "
                f"{parsed.epoch:#x}"
            )


def _columns(row: LeafRow) -> Columns | None:
    """Return the columns of a frame's row as they were written, if its checksum is right."""
    values = list(row.values)
    values[0] = row.rowid
    zones = values[_ZONES]
    if type(zones) is not bytes:
        return None
    columns = (*values[:_ZONES], zones.decode("utf-8", "surrogateescape"), *values[_DIGEST:_DATA])
    if columns[_CRC] != row_crc(*columns[:_CRC]):
        return None
    return columns


def _frame_of_row(columns: Columns, data: bytes) -> NewFrame:
    _, _, first, span, count, reason, fork, received_ns, time_min_ns, time_max_ns = columns[:10]
    zones, digest = columns[_ZONES], columns[_DIGEST]
    dictionary = b""
    try:
        opened = open_frame(data)
    except ProtocolError:
        key = StreamKey("", "", "", 0, "")  # its stream's row says: see salvage
    else:
        key = _key_of(opened.header)
        dictionary = named_dictionary(opened.columns) if count else b""
    if fork and key.epoch:
        key = replace(key, epoch=fork_epoch(digest, ordinal_of(key.epoch)))
    return NewFrame(
        key=key,
        first=first,
        span=span,
        count=count,
        digest=digest,
        received_ns=received_ns,
        data=b"",
        dictionary=dictionary,
        reason=reason,
        time_min_ns=time_min_ns,
        time_max_ns=time_max_ns,
        zones=zones_from_text(zones),
        fork=bool(fork),
    )


def _frame_of_header(opened: Frame, digest: bytes) -> NewFrame:
    header = opened.header
    return NewFrame(
        key=_key_of(header),
        first=header.first,
        span=header.span,
        count=header.count,
        digest=digest,
        received_ns=0,
        data=b"",
        dictionary=named_dictionary(opened.columns) if header.count else b"",
        reason=0 if header.count else header.gaps[0].reason,
        time_min_ns=header.time_min_ns,
        time_max_ns=header.time_max_ns,
        zones=header.zones,
    )


def _key_of(header: FrameHeader) -> StreamKey:
    place = header.address
    return StreamKey(place.tenant, place.store, place.device, header.epoch, header.lane)


def _digest_before(image: PageImage, offset: int, digest: bytes) -> bool:
    """Say whether the columns before a frame hold its digest: digest, checksum, frame."""
    for size in _CRC_SIZES:
        end = offset - size
        if end >= DIGEST_BYTES and image.image[end - DIGEST_BYTES : end] == digest:
            return True
    return False
