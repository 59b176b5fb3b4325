"""Walks SQLite's write-ahead log before SQLite does.

SQLite reads the log up to the first frame whose checksum is wrong and silently forgets the
rest: right after a torn write, wrong after a flipped bit. Each frame's checksum continues from
the one before it (as stored), so a frame after a bad one can still be checked: when one holds,
the log was damaged, not torn. A bad end alone can be either; the log's index (``-shm``) tells,
as long as the machine has not rebooted, how many frames had been committed.

The format is SQLite's ("WAL-mode File Format" in its documentation): a header of 32 bytes
(magic, version, page size, checkpoint number, two salts, two checksums), then frames of 24
bytes (page number, database size after a commit, two salts, two checksums) and a page.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
_MAGIC_LITTLE: Final = 0x377F0682
_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MASK: Final = 0xFFFFFFFF


class WalFrame(NamedTuple):
    """One frame of the present generation: page number, size after a commit, where it lies."""

    number: int
    page: int
    size_after: int
    offset: int
    good: bool


@dataclass(frozen=True, slots=True)
class WalScan:
    """What a walk found.

    Attributes:
        page_bytes: size of a page, 0 when there is no log.
        frames: frames of the present generation in order; ``good`` ones have their checksum.
        header_good: whether the header has its checksum.
    """

    page_bytes: int
    frames: tuple[WalFrame, ...]
    header_good: bool

    @property
    def first_bad(self) -> int | None:
        """Index of the first frame that SQLite would stop at."""
        return next((frame.number for frame in self.frames if not frame.good), None)

    @property
    def is_damaged(self) -> bool:
        """Whether good frames follow a bad one, or a bad header: certainly not a torn end."""
        bad = -1 if not self.header_good else self.first_bad
        return bad is not None and any(f.good and f.number > bad for f in self.frames)

    @property
    def has_bad_end(self) -> bool:
        """Whether the last frame is bad: torn while it was written, or damaged after."""
        return bool(self.frames) and not self.frames[-1].good


NO_WAL: Final = WalScan(0, (), header_good=True)


def scan_wal(path: Path, *, page_bytes: int) -> WalScan:
    """Walk a log.

    Args:
        path: the ``-wal`` file; it may be missing or empty.
        page_bytes: the page size to assume when the header is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NO_WAL
    if len(data) < HEADER_BYTES:
        return NO_WAL
    magic, _, said_bytes, _, salt1, salt2, sum1, sum2 = _HEADER.unpack_from(data)
    order = "<" if magic != _MAGIC_LITTLE + 1 else ">"
    good = (
        magic & ~1 == _MAGIC_LITTLE
        and said_bytes == page_bytes
        and _checksum(data[:24], order, (0, 0)) == (sum1, sum2)
    )
    frame_bytes = FRAME_HEADER_BYTES + page_bytes
    count = (len(data) - HEADER_BYTES) // frame_bytes
    if not good:
        order, salt1, salt2 = (
            "<" if sys.byteorder == "little" else ">",
            *_usual_salts(data, count, frame_bytes),
        )
    frames = list(_frames(data, page_bytes, order, salts=(salt1, salt2), seed=(sum1, sum2)))
    while frames and frames[-1].page == 0:
        frames.pop()
    return WalScan(page_bytes, tuple(frames), good)


def _usual_salts(data: bytes, count: int, frame_bytes: int) -> tuple[int, int]:
    """Return the salts of the first frames, by majority: the header cannot be asked."""
    seen = [
        _FRAME.unpack_from(data, HEADER_BYTES + index * frame_bytes)[2:4]
        for index in range(min(count, 3))
    ]
    return max(seen, key=seen.count) if seen else (0, 0)


def _frames(
    data: bytes,
    page_bytes: int,
    order: str,
    *,
    salts: tuple[int, int],
    seed: tuple[int, int],
) -> Iterator[WalFrame]:
    """Yield the frames up to the last that belongs to this generation."""
    held: list[WalFrame] = []
    count = (len(data) - HEADER_BYTES) // (FRAME_HEADER_BYTES + page_bytes)
    for index in range(count):
        offset = HEADER_BYTES + index * (FRAME_HEADER_BYTES + page_bytes)
        page, size_after, salt1, salt2, sum1, sum2 = _FRAME.unpack_from(data, offset)
        mine = (salt1, salt2) == salts
        body = offset + FRAME_HEADER_BYTES
        good = False
        if mine:
            check = _checksum(data[offset : offset + 8], order, seed)
            check = _checksum(data[body : body + page_bytes], order, check)
            good = check == (sum1, sum2)
        seed = (sum1, sum2)
        held.append(WalFrame(index, page, size_after, body, good))
        if mine:
            yield from held
            held = []
        elif len(held) > 1:
            return  # two in a row of another generation: what was there before


def _checksum(data: bytes, order: str, seed: tuple[int, int]) -> tuple[int, int]:
    """Return SQLite's running checksum over 32-bit words (its documentation, section 4.2)."""
    low, high = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        low = (low + even + high) & _MASK
        high = (high + odd + low) & _MASK
    return low, high


def committed_frames(shm: Path, wal: Path) -> int | None:
    """Return how many frames of this log the index says were committed, if it can be trusted.

    Both copies of the index's header must agree and name the log's own salts.
    """
    try:
        head = shm.read_bytes()[:96]
        salts = wal.read_bytes()[16:24]
    except FileNotFoundError:
        return None
    if len(head) < 96 or head[:48] != head[48:] or head[32:40] != salts:
        return None
    return int.from_bytes(head[16:20], sys.byteorder)
