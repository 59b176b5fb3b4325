"""Faults of one watched folder, put in and taken out while the process runs."""

from __future__ import annotations

import ctypes
import errno
import os
from enum import IntEnum
from pathlib import Path
from typing import Final

from . import preload
from .oplog import Kind

ALWAYS: Final = -1
CHANGES: Final = (
    Kind.OPEN,
    Kind.WRITE,
    Kind.TRUNCATE,
    Kind.ALLOCATE,
    Kind.SYNC,
    Kind.SYNC_DIR,
    Kind.RENAME,
    Kind.UNLINK,
    Kind.LINK,
)
"""Everything that can fail for want of room or because a card gives up, reads left out."""

SYNCS: Final = (Kind.SYNC, Kind.SYNC_DIR)


class _Action(IntEnum):
    FAIL = 0
    SHORTEN = 1
    FLIP = 2
    LIE = 3


class Faults:
    """What happens to operations in a folder that is watched already.

    At most eight faults stand at a time; one that has struck as often as it should is gone.
    ``ending`` bounds a fault to files whose path ends so (at most 23 bytes).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.fsencode(folder.resolve())

    def fail(
        self, *kinds: Kind, error: int = errno.EIO, after: int = 0, times: int = 1, ending: str = ""
    ) -> None:
        """Let operations fail with ``error``: the first ``after`` pass, then ``times`` do not."""
        self._put(kinds, _Action.FAIL, after, times, ending, error=error)

    def shorten(self, *, after: int = 0, times: int = 1, ending: str = "") -> None:
        """Let writes write half of what they should, and say so."""
        self._put((Kind.WRITE,), _Action.SHORTEN, after, times, ending)

    def flip(self, *, after: int = 0, times: int = 1, ending: str = "", seed: int = 1) -> None:
        """Flip a bit of what is read; the file itself is as it was."""
        self._put((Kind.READ,), _Action.FLIP, after, times, ending, seed=seed)

    def lie(self, *, after: int = 0, times: int = ALWAYS) -> None:
        """Let syncs answer success and make nothing durable: a lying card."""
        self._put(SYNCS, _Action.LIE, after, times, "")

    def clear(self) -> None:
        """Take all faults out: the card is well from now on."""
        self._check(preload.library().wb_clear(self._folder))

    @property
    def hits(self) -> int:
        """How many operations were struck since the folder is watched."""
        return int(preload.library().wb_count(self._folder, 0))

    def count(self, kind: Kind) -> int:
        """Return how many operations of a kind there were since the folder is watched."""
        return int(preload.library().wb_count(self._folder, int(kind)))

    def _put(
        self,
        kinds: tuple[Kind, ...],
        action: _Action,
        after: int,
        times: int,
        ending: str,
        *,
        error: int = 0,
        seed: int = 1,
    ) -> None:
        bits = sum(1 << kind for kind in set(kinds))
        put = preload.library().wb_fault
        self._check(put(self._folder, bits, after, times, action, error, ending.encode(), seed))

    def _check(self, answer: int) -> None:
        if answer:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), os.fsdecode(self._folder))
