"""Crash images: folders that hold what a disk may hold after a crash at some operation."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from .disk import Disk
from .oplog import Operation


def write_image(left: Mapping[str, bytes | None], target: Path) -> None:
    """Write the files of an image into a fresh folder (an old one is deleted)."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in sorted(left):
        data = left[name]
        if data is None:
            (target / name).mkdir()
        else:
            with (target / name).open("wb") as file:
                kept = data.rstrip(b"\0")
                file.write(kept)
                file.truncate(len(data))


def image_after_kill(base: Disk, operations: Sequence[Operation], target: Path) -> None:
    """Write what ``kill -9`` leaves after these operations; ``base`` takes them in."""
    base.apply_all(operations)
    write_image(base.after_kill(), target)


def image_after_power_cut(
    base: Disk, operations: Sequence[Operation], target: Path, chance: random.Random
) -> None:
    """Write what a power cut may leave after these operations; ``base`` takes them in."""
    base.apply_all(operations)
    write_image(base.after_power_cut(chance), target)
