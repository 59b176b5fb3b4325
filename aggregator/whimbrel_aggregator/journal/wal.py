"""Walking SQLite's write-ahead log before SQLite opens it. Pure over the log's bytes.

SQLite takes the log up to the first frame whose checksum is wrong and silently forgets the
rest: right after a torn write, wrong after a flipped bit, where commits that were receipted
would vanish. Format (SQLite file format, section 4): a header of 32 bytes (magic, version, page
size, sequence, two salts, two checksums), then per page a header of 24 bytes (page number, size
after commit or 0, salts, checksums) and the page. Checksums run on from frame to frame.

A frame behind the first bad one still shows itself: its salts are the log's, and its checksum
follows from the one that its predecessor carries. Since a commit is synced before the next one
begins, a torn write can only be in the last commit: two commits behind a bad frame prove
damage, one does when the machine has not been restarted (killing a process tears nothing).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
_MAGIC_LITTLE: Final = 0x377F0682
_MAGIC_BIG: Final = 0x377F0683
_MASK: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WalState:
    """What a walk found.

    Attributes:
        frames: good frames from the start.
        commits: commits among them.
        bad_frame: number of the first bad frame (from 0) when good ones follow it, else None.
        commits_behind: commits that follow the bad frame.
    """

    frames: int
    commits: int
    bad_frame: int | None = None
    commits_behind: int = 0

    def damaged(self, *, same_boot: bool) -> bool:
        """Say whether something that was durable is cut off."""
        return self.commits_behind >= (1 if same_boot else 2)


def walk(log: bytes) -> WalState:
    """Walk a log. An empty or foreign one has no frames."""
    if len(log) < HEADER_BYTES:
        return WalState(0, 0)
    magic, _, page_size, _, salt1, salt2, sum1, sum2 = struct.unpack_from(">8I", log)
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or not 512 <= page_size <= 65536:
        return WalState(0, 0)
    order = ">" if magic == _MAGIC_BIG else "<"
    if _checksum(log[:24], (0, 0), order) != (sum1, sum2):
        # the header itself: every frame with its salts is cut off
        return _behind(log, page_size, order, start=0, salts=(salt1, salt2))
    running = (sum1, sum2)
    frames = commits = 0
    size = FRAME_HEADER_BYTES + page_size
    for at in range(HEADER_BYTES, len(log) - size + 1, size):
        _, commit, *salts, sum1, sum2 = struct.unpack_from(">6I", log, at)
        running = _frame_sum(log, at, page_size, running, order)
        if salts != [salt1, salt2] or running != (sum1, sum2):
            found = _behind(log, page_size, order, start=frames, salts=(salt1, salt2))
            return WalState(frames, commits, found.bad_frame, found.commits_behind)
        frames += 1
        commits += commit > 0
    return WalState(frames, commits)


def _behind(
    log: bytes, page_size: int, order: str, *, start: int, salts: tuple[int, int]
) -> WalState:
    """Look for frames behind the bad one (number ``start``) that follow their predecessors."""
    size = FRAME_HEADER_BYTES + page_size
    good = commits = 0
    before: tuple[int, int] | None = None
    for at in range(HEADER_BYTES + start * size, len(log) - size + 1, size):
        _, commit, salt1, salt2, sum1, sum2 = struct.unpack_from(">6I", log, at)
        follows = before is not None and _frame_sum(log, at, page_size, before, order) == (
            sum1,
            sum2,
        )
        if follows and (salt1, salt2) == salts:
            good += 1
            commits += commit > 0
        before = (sum1, sum2)
    # the bad frame may itself have been a commit whose bytes are all that is wrong
    return WalState(0, 0, start if good else None, commits)


def _frame_sum(
    log: bytes, at: int, page_size: int, running: tuple[int, int], order: str
) -> tuple[int, int]:
    start = at + FRAME_HEADER_BYTES
    return _checksum(
        log[start : start + page_size], _checksum(log[at : at + 8], running, order), order
    )


def _checksum(data: bytes, running: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = running
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
