"""What happened, in order: printed for people, hashed for replays.

Two runs of one seed are the same when their digests are: every line has its virtual time, who it
is about, what happened, and the facts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

KEPT_LINES: Final = 400
"""The newest lines stay in memory for a report of a failure; a file may have them all."""


class Timeline:
    """Collects lines.

    Args:
        write: takes every line as it happens; None keeps only the newest.
    """

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._loop = asyncio.get_running_loop()
        self.newest: deque[str] = deque(maxlen=KEPT_LINES)
        self.counts: Counter[str] = Counter()

    def tell(self, who: str, what: str, **facts: object) -> None:
        """Add a line."""
        said = "".join(f" {name}={value}" for name, value in facts.items())
        line = f"{self._loop.time():14.6f} {who:<22} {what}{said}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.newest.append(line)
        self.counts[what] += 1
        if self._write is not None:
            self._write(line)

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 over all lines so far."""
        return self._hash.hexdigest()
