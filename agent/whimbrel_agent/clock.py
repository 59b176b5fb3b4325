"""The machine's clocks: the only place of the agent that reads them."""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from whimbrel_protocol.header import BOOT_ID_BYTES
from whimbrel_protocol.lanes import ClockQuality

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_RTC: Final = Path("/sys/class/rtc/rtc0")
_SAVED: Final = (
    Path("/var/lib/systemd/timesync/clock"),  # systemd-timesyncd
    Path("/etc/fake-hwclock.data"),  # Debian's fake-hwclock
)
_TIME_ERROR: Final = 5
"""What adjtimex(2) answers while nothing disciplines the clock."""

_TIMEX_BYTES: Final = 512
"""Room for ``struct timex`` (208 bytes on 64-bit Linux)."""


class SystemClock:
    """The Clock port over the kernel's clocks."""

    def __init__(self) -> None:
        self.boot_id = boot_id_of(_BOOT_ID.read_text("ascii"))
        self._kernel_state = _kernel_state_reader()
        self._fallback = _unsynced_quality()

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()  # noqa: TID251

    def mono_ns(self) -> int:
        """Nanoseconds since boot, time asleep included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def quality(self) -> ClockQuality:
        """Return synced when the kernel says that something disciplines its clock now.

        NTP and PTP daemons (timesyncd, chrony, ntpd, phc2sys) all set that state. Otherwise
        the best source the time can have come from at boot; unknown where the kernel does not tell.
        """
        state = self._kernel_state()
        if state < 0:
            return ClockQuality.UNKNOWN
        return self._fallback if state == _TIME_ERROR else ClockQuality.SYNCED


def boot_id_of(text: str) -> bytes:
    """Return four bytes that stand for the kernel's boot id without telling it."""
    return hashlib.sha256(b"whimbrel boot" + text.strip().encode()).digest()[:BOOT_ID_BYTES]


def _kernel_state_reader() -> Callable[[], int]:
    library = ctypes.CDLL(None, use_errno=True)
    adjtimex = getattr(library, "adjtimex", None)
    if adjtimex is None:
        return lambda: -1
    room = ctypes.create_string_buffer(_TIMEX_BYTES)

    def read() -> int:
        ctypes.memset(room, 0, _TIMEX_BYTES)  # modes 0: read only, which needs no privilege
        return int(adjtimex(room))

    return read


def _unsynced_quality() -> ClockQuality:
    if _RTC.exists():
        return ClockQuality.RTC
    if any(path.exists() for path in _SAVED):
        return ClockQuality.SAVED
    return ClockQuality.UNSYNCED
