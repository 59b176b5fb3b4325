"""What the kernel says about the board: device tree, processors, memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Hardware", "read_hardware"]

_MODEL: Final = Path("proc/device-tree/model")
_CPUINFO: Final = Path("proc/cpuinfo")
_MEMINFO: Final = Path("proc/meminfo")

MAX_CPUINFO_BYTES: Final = 256 * 1024
"""Some 150 cores' worth; more would be no device of ours."""

_CPU_MODEL: Final = re.compile(r"^Model\s*:\s*(.+)$", re.MULTILINE)
_PROCESSOR: Final = re.compile(r"^processor\s*:", re.MULTILINE)
_MEMORY: Final = re.compile(r"^MemTotal:\s*(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Hardware:
    """A board, as far as it is known.

    Attributes:
        model: as the device tree or ``/proc/cpuinfo`` names it; empty when neither does.
        cores: processors; 0 when unknown.
        memory_bytes: what the kernel manages, some percent less than is soldered on; 0: unknown.
    """

    model: str
    cores: int
    memory_bytes: int


def read_hardware(root: Path = Path("/")) -> Hardware:
    """Read what is there; what cannot be read counts as unknown.

    Args:
        root: where ``proc`` lies; a test's folder, or ``/``.
    """
    cpuinfo = _text(root / _CPUINFO)
    model = _text(root / _MODEL).rstrip("\0\n ")
    if not model and (found := _CPU_MODEL.search(cpuinfo)):
        model = found[1].strip()
    memory = _MEMORY.search(_text(root / _MEMINFO))
    return Hardware(
        model=model,
        cores=len(_PROCESSOR.findall(cpuinfo)),
        memory_bytes=int(memory[1]) * 1024 if memory else 0,
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
