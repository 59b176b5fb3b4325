"""The system's clocks and randomness; the only place here that reads them."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """See :class:`whimbrel_aggregator.ports.Clock`."""

    def wall_ns(self) -> int:
        """Return Unix time in nanoseconds."""
        return time.time_ns()  # noqa: TID251 - the adapter of the Clock port

    def mono_ns(self) -> int:
        """Return nanoseconds that never go back."""
        return time.monotonic_ns()  # noqa: TID251 - the adapter of the Clock port

    @property
    def boot_id(self) -> str:
        """Return the kernel's boot id; empty, so that every start counts as one, without Linux."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""


def system_random() -> random.Random:
    """Return the operating system's randomness; see :class:`whimbrel_aggregator.ports.Random`."""
    return random.SystemRandom()
