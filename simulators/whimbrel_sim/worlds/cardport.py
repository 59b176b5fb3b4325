"""What a simulated machine needs of the card its files lie on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from random import Random
from typing import Final, Protocol

from whimbrel_protocol.errors import WhimbrelError
from whimbrel_sim.cards.faults import Faults

LOCK_SUFFIX: Final = ".lock"
DATABASE_SUFFIX: Final = ".db"
"""Of files that are the same, byte for byte, in every run of a seed.

The log beside such a file is not: SQLite draws the salt of its frames from the operating system.
"""


class NoRecorderError(WhimbrelError):
    """This card cannot lose what was not synced, and no operation on it can fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"what is written to {folder.name} is not recorded: run the world by whimbrel-sim world, "
            "which starts it under the recorder when the scenario needs that"
        )


class Card(Protocol):
    """The contents of one folder, and what would be left of them."""

    def image_after_kill(self, target: Path) -> None:
        """Write what the kernel has, synced or not, into a new folder."""
        ...

    def image_after_power_cut(self, target: Path, random: Random) -> None:
        """Write what the disk may hold if the power goes now into a new folder."""
        ...

    def close(self) -> None:
        """Watch no more."""
        ...

    @property
    def faults(self) -> Faults:
        """What can be made to fail on it."""
        ...


class _PlainCard:
    """A card whose every write is at once on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def image_after_kill(self, target: Path) -> None:
        shutil.copytree(self._folder, target)

    def image_after_power_cut(self, target: Path, random: Random) -> None:
        del target, random
        raise NoRecorderError(self._folder)

    @property
    def faults(self) -> Faults:
        raise NoRecorderError(self._folder)

    def close(self) -> None:
        pass


def plain_card(folder: Path) -> Card:
    """Return a card for worlds without power cuts."""
    return _PlainCard(folder)


def described(folder: Path) -> str:
    """Return names and sizes of a card's files, and the first digits of a database's SHA-256.

    A lock holds its process's id, whose number of digits is no part of a world: only its name counts.
    """
    parts = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.suffix == LOCK_SUFFIX:
            parts.append(path.name)
            continue
        content = path.read_bytes()
        known = path.suffix == DATABASE_SUFFIX
        digest = f" {hashlib.sha256(content).hexdigest()[:8]}" if known else ""
        parts.append(f"{path.name} {len(content)}{digest}")
    return ", ".join(parts)
