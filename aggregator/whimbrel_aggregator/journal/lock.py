"""One process per journal: an advisory lock beside the file that says who holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from whimbrel_aggregator.clock import SystemClock

from .errors import JournalInUseError


class JournalLock:
    """Held from construction to :meth:`release`; the kernel frees it when the process dies.

    ``same_boot`` says whether the machine has run without a break since the last holder: then
    nothing that it wrote can be torn.

    Args:
        path: the journal.
        boot_id: of the Clock port; None means this machine's.

    Raises:
        JournalInUseError: another process holds it; says which.
    """

    def __init__(self, path: Path, boot_id: str | None = None) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 128, 0).decode("ascii", "replace").partition(" ")[0]
            os.close(self._fd)
            raise JournalInUseError(
                f"journal {path} is in use by process {holder or 'unknown'}: one process per "
                "journal; ask that one through its HTTP API, or stop it first"
            ) from error
        boot = SystemClock().boot_id if boot_id is None else boot_id
        self.same_boot = False
        with suppress(OSError):
            # on a full or failing disk the next start takes it for another boot
            _, _, last_boot = os.pread(self._fd, 128, 0).decode("ascii", "replace").partition(" ")
            self.same_boot = bool(boot) and last_boot.strip() == boot
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()} {boot}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
