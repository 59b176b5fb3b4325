"""The clocks of a till as an aggregator asks for them: its boot id is text."""

from __future__ import annotations

from .till import HandClock


class RegionClock:
    """The aggregator's Clock port over a :class:`HandClock`."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._clock.wall_ns()

    def mono_ns(self) -> int:
        """Nanoseconds since boot."""
        return self._clock.mono_ns()

    @property
    def boot_id(self) -> str:
        """Text that changes with every boot."""
        return self._clock.boot_id.hex()
