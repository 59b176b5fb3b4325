"""One process per journal: an advisory lock beside the file that says who holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from .errors import JournalInUseError


class JournalLock:
    """Held from construction to :meth:`release`; the kernel frees it when the process dies.

    Raises:
        JournalInUseError: another process holds it; says which.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 64, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise JournalInUseError(
                f"journal {path} is in use by process {holder or 'unknown'}: one process per "
                "journal; ask that one through its HTTP API, or stop it first"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
