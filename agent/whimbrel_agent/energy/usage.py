"""What the kernel counts about this process and its disk: a port, and the kernel behind it.

==============================  =============================================================
``proc/self/stat``              processor time, fields 14 and 15, in clock ticks (proc(5))
``proc/self/io``                ``write_bytes``: what this process caused to be sent to disks,
                                less ``cancelled_write_bytes``, which were dropped before
``sys/dev/block/M:m/stat``      field 7: sectors of 512 bytes written, by everybody; of the
                                whole disk when the buffer lies on a partition
==============================  =============================================================

What a machine does not have (a kernel without accounting, a buffer on tmpfs or overlayfs) is None.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

__all__ = ["KernelUsage", "Usage"]

_SECTOR_BYTES: Final = 512  # always, whatever the disk's own sectors are


class Usage(Protocol):
    """Counters that only rise, from the start of the process or of the machine."""

    def cpu_s(self) -> float | None:
        """Processor time of this process, seconds of one core."""
        ...

    def written_bytes(self) -> int | None:
        """Bytes that this process caused to be written to disks."""
        ...

    def disk_written_bytes(self) -> int | None:
        """Bytes that everybody wrote to the disk of the buffer, since boot."""
        ...


class KernelUsage:
    """The kernel's own counters.

    Args:
        path: a file or folder on the disk that is looked at.
        root: where ``proc`` and ``sys`` lie.
        device: major and minor number of that disk; None asks the file system.
    """

    def __init__(
        self, path: Path, *, root: Path = Path("/"), device: tuple[int, int] | None = None
    ) -> None:
        self._proc = root / "proc" / "self"
        self._disk = _disk_of(root, device or _device_of(path))
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def cpu_s(self) -> float | None:
        """Return user and system time of all threads."""
        text = _text(self._proc / "stat")
        if text is None:
            return None
        # the second field is the program's name in brackets and may hold anything, so from its end
        fields = text.rpartition(")")[2].split()
        try:
            return (int(fields[11]) + int(fields[12])) / self._ticks_per_s
        except (IndexError, ValueError):
            return None

    def written_bytes(self) -> int | None:
        """Return ``write_bytes`` less what was dropped before it got there."""
        text = _text(self._proc / "io")
        if text is None:
            return None
        counts = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        try:
            written = int(counts["write_bytes"]) - int(counts.get("cancelled_write_bytes", "0"))
        except (KeyError, ValueError):
            return None
        return max(0, written)

    def disk_written_bytes(self) -> int | None:
        """Return what the disk of the buffer took."""
        text = None if self._disk is None else _text(self._disk / "stat")
        if text is None:
            return None
        fields = text.split()
        try:
            return int(fields[6]) * _SECTOR_BYTES
        except (IndexError, ValueError):
            return None


def _device_of(path: Path) -> tuple[int, int] | None:
    try:
        number = path.stat().st_dev
    except OSError:
        return None
    return os.major(number), os.minor(number)


def _disk_of(root: Path, device: tuple[int, int] | None) -> Path | None:
    """Return the folder of the whole disk, found from its own or a partition's numbers."""
    if device is None:
        return None
    link = root / "sys" / "dev" / "block" / f"{device[0]}:{device[1]}"
    try:
        place = link.resolve(strict=True)
    except OSError:
        return None  # tmpfs, overlayfs and network file systems have no block device
    return place.parent if (place / "partition").exists() else place


def _text(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return None
