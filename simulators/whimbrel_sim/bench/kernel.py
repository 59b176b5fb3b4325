"""What the kernel says of a process: memory, processor time, wake-ups, disk. See proc(5)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 2**20
"""What process viewers call a megabyte."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_USER_TICKS: Final = 11  # fields after the command's name, which may hold spaces
_SYSTEM_TICKS: Final = 12


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's resident memory: now, and the highest since it started."""

    now_bytes: int
    peak_bytes: int


def memory_of(pid: int) -> Memory:
    """Return what is resident, shared libraries included (VmRSS, VmHWM)."""
    fields = _fields(Path(f"/proc/{pid}/status"))
    now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return Memory(now, peak)


def cpu_s_of(pid: int) -> float:
    """Return user and system time of all threads, in steps of a clock tick (10 ms)."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS])) / _TICKS_PER_S


def wakeups_of(pid: int) -> int:
    """Return how often the threads that live now gave up the processor by themselves to wait."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int(_fields(task / "status")["voluntary_ctxt_switches"]) for task in tasks)


def written_bytes_of(pid: int) -> int:
    """Return the bytes that the process made the storage layer write."""
    return int(_fields(Path(f"/proc/{pid}/io"))["write_bytes"])


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}
