"""A file of nothing that holds disk space, to be given up when the disk is full.

Receipts free space, but writing down what they free takes some first: a few pages of log, and
room to copy the log into the database. Giving up the reserve makes that possible on a full
disk; it is taken back when there is room again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class ReserveFile:
    """The reserve beside one buffer."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self.present = path.exists() and path.stat().st_size == size_bytes
        if not self.present:
            self.take()

    def take(self) -> bool:
        """Take the space if the disk gives it and has as much again; say whether it is held."""
        if self.present:
            return True
        try:
            self.present = self._allocate()
        except OSError:  # a failing disk has none to spare either
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        return self.present

    def _allocate(self) -> bool:
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < 2 * self._size_bytes:
            return False
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size_bytes)
        finally:
            os.close(handle)
        return True

    def give_up(self) -> bool:
        """Free the space; say whether there was any to free."""
        if not self.present:
            return False
        self._path.unlink(missing_ok=True)
        self.present = False
        return True
