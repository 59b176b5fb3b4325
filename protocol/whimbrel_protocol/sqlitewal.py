"""SQLite's write-ahead log, walked before SQLite reads it. Pure: bytes in, values out.

Not part of the wire protocol. It lies here because agent and aggregator both keep their frames
in SQLite files, both must notice that a flash cell lied, and may not import each other: one
tested walk beats two (decision of 2026-11-22; weighed: a fifth package, for two modules).

SQLite reads the log up to the first frame whose checksum is wrong and silently forgets the
rest: right after a torn write, wrong after a flipped bit, where commits that were answered
would vanish. Each frame's checksum continues from the one before it (as stored), so a frame
after a bad one can still be checked: when one holds, the log was damaged, not torn. A bad end
alone can be either; the log's index (``-shm``) tells, as long as the machine has not rebooted,
how many frames had been committed.

The format is SQLite's ("WAL-mode File Format" in its documentation): a header of 32 bytes
(magic, version, page size, checkpoint number, two salts, two checksums), then frames of 24
bytes (page number, database size after a commit, two salts, two checksums) and a page.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
MAGIC_LITTLE: Final = 0x377F0682
HEADER: Final = struct.Struct(">8I")
FRAME: Final = struct.Struct(">6I")
INDEX_BYTES: Final = 96
"""The two copies of the header of a log's index."""

_MASK: Final = 0xFFFFFFFF

Sums = tuple[int, int]


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
    def certain(self) -> int:
        """How many frames there are up to the last commit before the first bad frame."""
        bad = len(self.frames) if self.first_bad is None else self.first_bad
        return max((f.number + 1 for f in self.frames[:bad] if f.size_after), default=0)

    @property
    def is_damaged(self) -> bool:
        """Whether good frames follow a bad one, or a bad header."""
        bad = -1 if not self.header_good else self.first_bad
        return bad is not None and any(f.good and f.number > bad for f in self.frames)

    @property
    def has_bad_end(self) -> bool:
        """Whether the last frame is bad: torn while it was written, or damaged after."""
        return bool(self.frames) and not self.frames[-1].good

    @property
    def commits_behind(self) -> int:
        """How many commits follow the first bad frame or bad header.

        A commit is synced before the next begins, so a torn write can only be in the last one:
        two prove damage, one does where the machine has not been restarted.
        """
        bad = -1 if not self.header_good else self.first_bad
        if bad is None:
            return 0
        return sum(1 for f in self.frames if f.good and f.size_after and f.number > bad)


NO_LOG: Final = WalScan(0, (), header_good=True)


def scan_log(log: bytes, *, page_bytes: int) -> WalScan:
    """Walk a log, from the first byte of its file.

    Args:
        log: the whole file; an empty one has no frames.
        page_bytes: the page size of the database; a header that says another is damaged.
    """
    if len(log) < HEADER_BYTES:
        return NO_LOG
    magic, _, _, _, salt1, salt2, sum1, sum2 = HEADER.unpack_from(log)
    order = "<" if magic != MAGIC_LITTLE + 1 else ">"
    good = header_is_good(log[:HEADER_BYTES], page_bytes)
    frame_bytes = FRAME_HEADER_BYTES + page_bytes
    count = (len(log) - HEADER_BYTES) // frame_bytes
    if not good:
        order = "<" if sys.byteorder == "little" else ">"
        salt1, salt2 = usual_salts(log, count, frame_bytes)
    frames = list(_frames(log, page_bytes, order, salts=(salt1, salt2), seed=(sum1, sum2)))
    while frames and frames[-1].page == 0:
        frames.pop()
    return WalScan(page_bytes, tuple(frames), good)


def header_is_good(header: bytes, page_bytes: int) -> bool:
    """Say whether the 32 bytes of a log's header are as SQLite wrote them."""
    magic, _, said_bytes, _, _, _, sum1, sum2 = HEADER.unpack(header)
    order = "<" if magic != MAGIC_LITTLE + 1 else ">"
    return (
        magic & ~1 == MAGIC_LITTLE
        and said_bytes == page_bytes
        and checksum(header[:24], order, (0, 0)) == (sum1, sum2)
    )


def usual_salts(log: bytes, count: int, frame_bytes: int) -> Sums:
    """Return the salts of the first frames, by majority: for when the header cannot be asked.

    Frames of zeros have none: nothing was written there yet.
    """
    seen = [
        salts
        for index in range(min(count, 3))
        if any(salts := FRAME.unpack_from(log, HEADER_BYTES + index * frame_bytes)[2:4])
    ]
    return max(seen, key=seen.count) if seen else (0, 0)


def _frames(
    log: bytes, page_bytes: int, order: str, *, salts: Sums, seed: Sums
) -> Iterator[WalFrame]:
    """Yield the frames up to the last that belongs to this generation."""
    held: list[WalFrame] = []
    count = (len(log) - HEADER_BYTES) // (FRAME_HEADER_BYTES + page_bytes)
    for index in range(count):
        offset = HEADER_BYTES + index * (FRAME_HEADER_BYTES + page_bytes)
        page, size_after, salt1, salt2, sum1, sum2 = FRAME.unpack_from(log, offset)
        mine = (salt1, salt2) == salts
        body = offset + FRAME_HEADER_BYTES
        good = mine and frame_sum(log, offset, page_bytes, order, seed) == (sum1, sum2)
        seed = (sum1, sum2)
        held.append(WalFrame(index, page, size_after, body, good))
        if mine:
            yield from held
            held = []
        elif len(held) > 1:
            return  # two in a row of another generation: what was there before


def frame_sum(log: bytes, offset: int, page_bytes: int, order: str, seed: Sums) -> Sums:
    """Return the checksum of the frame whose header begins at ``offset``."""
    body = offset + FRAME_HEADER_BYTES
    head = checksum(log[offset : offset + 8], order, seed)
    return checksum(log[body : body + page_bytes], order, head)


def checksum(data: bytes, order: str, seed: Sums) -> Sums:
    """Return SQLite's running checksum over 32-bit words (its documentation, section 4.2)."""
    low, high = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        low = (low + even + high) & _MASK
        high = (high + odd + low) & _MASK
    return low, high


def committed_frames(index: bytes, log: bytes) -> int | None:
    """Return how many frames of a log its index says were committed, if it can be trusted.

    Both copies of the index's header must agree and name the log's own salts.

    Args:
        index: the beginning of the ``-shm`` file.
        log: the beginning of the ``-wal`` file.
    """
    head = index[:INDEX_BYTES]
    if len(head) < INDEX_BYTES or head[:48] != head[48:] or head[32:40] != log[16:24]:
        return None
    return int.from_bytes(head[16:20], sys.byteorder)
