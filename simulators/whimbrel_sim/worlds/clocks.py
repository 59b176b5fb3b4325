"""The clocks of simulated machines over the loop's time: drift, jumps, boots."""

from __future__ import annotations

from random import Random
from typing import Final

from whimbrel_protocol.lanes import ClockQuality

from .loop import VirtualTimeLoop

START_NS: Final = 1_767_254_400 * 10**9
"""Wall time at which every world begins: 2026-01-01T08:00:00Z."""


class MachineClock:
    """A machine's clocks over the loop's time: drift, jumps, boots."""

    def __init__(self, loop: VirtualTimeLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self.drift_ppm = 0.0
        self.offset_ns = 0
        self.known = ClockQuality.SYNCED
        self._booted_s = 0.0
        self.boot = b""
        self.begin_boot()

    def begin_boot(self) -> None:
        """Begin another boot."""
        self._booted_s = self._loop.time() - 1.0  # what runs is never the first thing to run
        self.boot = self._random.randbytes(4)

    def true_ns(self) -> int:
        """Nanoseconds of the world's own time since its start."""
        return round(self._loop.time() * 1e9)

    def wall_ns(self) -> int:
        """Unix time as this machine has it."""
        drifted = round(self._loop.time() * self.drift_ppm * 1e3)
        return max(0, START_NS + self.true_ns() + drifted + self.offset_ns)

    def mono_ns(self) -> int:
        """Nanoseconds since the boot."""
        return round((self._loop.time() - self._booted_s) * (1e9 + self.drift_ppm * 1e3))

    def quality(self) -> ClockQuality:
        """What the machine knows of its clock."""
        return self.known


class AgentClock(MachineClock):
    """The agent's Clock port."""

    @property
    def boot_id(self) -> bytes:
        """Four bytes, new with every boot."""
        return self.boot


class RegionClock(MachineClock):
    """The aggregator's Clock port."""

    @property
    def boot_id(self) -> str:
        """Text, new with every boot."""
        return self.boot.hex()
