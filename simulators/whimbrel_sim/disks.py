"""A small file system that can be filled up and emptied again: disk full, for real.

A tmpfs of fixed size, mounted over a folder; mounting takes root (or CAP_SYS_ADMIN).
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Final, Self

_BLOCK_BYTES: Final = 4096
_FILLER: Final = "somebody-elses.log"


class SmallDiskError(Exception):
    """The file system cannot be mounted here."""


class SmallDisk:
    """A file system of ``size_bytes`` at ``path`` while the context lasts."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self.size_bytes = size_bytes

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.size_bytes}", "whimbrel-sim", self.path],  # noqa: S607
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SmallDiskError(
                f"no tmpfs can be mounted at {self.path} ({done.stderr.strip()}); run as root"
            )
        return self

    def __exit__(self, *_: object) -> None:
        # lazily: a process that was just killed may still hold a file for a moment
        subprocess.run(["umount", "--lazy", self.path], check=True)  # noqa: S607

    @property
    def free_bytes(self) -> int:
        """What can still be written."""
        facts = os.statvfs(self.path)
        return facts.f_bavail * facts.f_frsize

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Let somebody else's file grow until only ``leave_bytes`` are free."""
        with (self.path / _FILLER).open("ab") as filler:
            while (room := self.free_bytes - leave_bytes) >= _BLOCK_BYTES:
                try:
                    filler.write(bytes(min(room, 256 * _BLOCK_BYTES)))
                    filler.flush()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return  # somebody else took the last blocks

    def clear(self) -> None:
        """Take that file away again."""
        (self.path / _FILLER).unlink(missing_ok=True)
