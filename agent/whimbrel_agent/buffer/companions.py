"""The names of the files that belong to one buffer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCK_BYTES: Final = 4096
"""A file system block for the lock file."""


@dataclass(frozen=True, slots=True)
class Companions:
    """The files beside a buffer file."""

    path: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.beside(".lock")

    @property
    def numbers(self) -> Path:
        """The numbers file."""
        return self.beside(".numbers")

    @property
    def reserve(self) -> Path:
        """The reserve file."""
        return self.beside(".reserve")

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log."""
        return self.beside("-wal")

    @property
    def shm(self) -> Path:
        """SQLite's index of the log."""
        return self.beside("-shm")

    @property
    def image(self) -> Path:
        """The merged image of a damaged database, while it is salvaged."""
        return self.beside(".image")

    @property
    def doubtful(self) -> Path:
        """The image with a last transaction of which it is not known whether it was whole."""
        return self.beside(".doubtful")

    @property
    def building(self) -> Path:
        """The new file while it is built."""
        return self.beside(".building")

    @property
    def rebuilt(self) -> Path:
        """The new file when it is whole."""
        return self.beside(".rebuilt")

    def beside(self, ending: str) -> Path:
        """Return the file with the buffer's name and an ending."""
        return self.path.with_name(self.path.name + ending)

    def kept_aside(self) -> list[Path]:
        """Return damaged files kept from earlier salvages, oldest first."""
        return sorted(self.path.parent.glob(f"{self.path.name}.damaged-*"))

    def kept_aside_bytes(self) -> int:
        """Return what they take."""
        return sum(path.stat().st_size for path in self.kept_aside())
