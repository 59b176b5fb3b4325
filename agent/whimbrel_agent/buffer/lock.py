"""The lock that lets one process at a time open a buffer.

An ``flock`` on a file beside the database: the kernel drops it when the process ends, however
it ends. The file holds the owner's process id, for the message only.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from whimbrel_agent.buffer.values import BufferLockedError

_MODE: Final = 0o600


class FileLock:
    """Holds the lock from construction until :meth:`release`.

    Raises:
        BufferLockedError: another process (or another buffer in this one) holds it.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._handle)
            raise BufferLockedError(
                f"buffer {path.with_suffix('')} is open in the agent with process id {owner}; "
                "stop that agent first, or give this one a buffer of its own ([buffer] path)"
            ) from None
        with suppress(OSError):  # a full or failing disk: the message is not worth the lock
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._handle)
