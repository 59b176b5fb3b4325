"""What happened, in order: printed for people, hashed for replays.

Two runs of one seed are the same when their digests are: every line has its virtual time, who it
is about, what happened, and the facts. Lines that are told are for people; noted ones (every
message, every answer) are many, carry :data:`NOTED` after their time, and count for the digest
alike. Remarks (what the product logs) are written and do not count: their wording is free.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

KEPT_LINES: Final = 400
"""The newest lines stay in memory for a report of a failure; a file may have them all."""

NOTED: Final = "."
"""Stands after the time of a line that is noted."""

REMARKED: Final = "#"
"""Stands after the time of a remark."""

MARK_AT: Final = 15
"""The column of those marks; a told line has a space there."""


class Timeline:
    """Collects lines.

    Args:
        write: takes every line as it happens; None keeps only the newest.

    Attributes:
        newest: the last lines that were told.
        counts: how often each thing was told.
        hidden: texts, such as a temporary folder's name, that no told line may have.
    """

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._loop = asyncio.get_running_loop()
        self.newest: deque[str] = deque(maxlen=KEPT_LINES)
        self.counts: Counter[str] = Counter()
        self.hidden: tuple[str, ...] = ()

    def tell(self, who: str, what: str, **facts: object) -> None:
        """Add a line."""
        said = "".join(f" {name}={value}" for name, value in facts.items())
        for text in self.hidden:
            said = said.replace(text, "")
        line = f"{self._loop.time():14.6f}   {who:<22} {what}{said}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.newest.append(line)
        self.counts[what] += 1
        if self._write is not None:
            self._write(line)

    def note(self, who: str, what: str) -> None:
        """Add a line that only a trace and the digest see; many a second must cost little."""
        line = f"{self._loop.time():14.6f} {NOTED} {who:<22} {what}\n"
        self._hash.update(line.encode())
        if self._write is not None:
            self._write(line[:-1])

    def remark(self, who: str, what: str) -> None:
        """Add a line that only a trace sees."""
        if self._write is not None:
            self._write(f"{self._loop.time():14.6f} {REMARKED} {who:<22} {what}")

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over all lines so far."""
        return self._hash.hexdigest()
