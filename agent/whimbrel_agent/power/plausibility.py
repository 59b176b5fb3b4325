"""Which readings can be true: a pure check, made before anything is decided from them.

Fuel gauges and drivers misread now and then: 0.0 V, 255 percent, a charge of last week. Such a
reading changes nothing and is counted. The rule for jumps: the charge may differ from the last
believed one by a slack and by what the shortest declared runtime allows in the time between. The
believed one is the median of the last three plausible ones, so that one outlier inside the
allowance does not move it; its time is that of the newest of them within the slack.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto
from typing import Final

from whimbrel_agent.power.reading import PowerReading

__all__ = ["JUMP_SLACK_PERCENT", "MAX_VOLTS", "MIN_VOLTS", "Misread", "Plausibility"]

MIN_VOLTS: Final = 1.0
"""Nothing that runs Linux runs from a battery below this: such a voltage was not measured."""

MAX_VOLTS: Final = 100.0
"""Battery banks of shops have 48 V, 60 while charging."""

JUMP_SLACK_PERCENT: Final = 5.0
"""A gauge corrects itself by a few points. A charge that is derived from the voltage sags by more
under a radio's load, which is not its charge; where the load stays, so does the allowance's growth."""

_ROUNDING_PERCENT: Final = 1e-6
"""A steady discharge at the very limit is not to be refused for a float's last digit."""

BELIEVED: Final = 3
"""The median of so many; one outlier among them is never the median."""


class Misread(Enum):
    """Why a reading is not believed."""

    NOT_A_NUMBER = auto()
    VOLTAGE = auto()
    PERCENT = auto()
    JUMP = auto()


class Plausibility:
    """Remembers what was believed.

    Args:
        shortest_runtime_s: no battery here goes from full to empty, or back, in less.
    """

    def __init__(self, shortest_runtime_s: float) -> None:
        self._percent_per_ns = 100 / (shortest_runtime_s * 1e9)
        self._believed: deque[tuple[float, int]] = deque(maxlen=BELIEVED)

    @property
    def knows_charge(self) -> bool:
        """Whether some charge was believed."""
        return bool(self._believed)

    def check(self, reading: PowerReading, now_ns: int) -> Misread | None:
        """Say what is wrong with a reading; None when it can be true, and then it is remembered.

        Args:
            reading: as its source gave it.
            now_ns: monotonic time of the look.
        """
        numbers = (reading.percent, reading.volts, reading.watts)
        if not all(value is None or math.isfinite(value) for value in numbers):
            return Misread.NOT_A_NUMBER
        if reading.volts is not None and not MIN_VOLTS <= reading.volts <= MAX_VOLTS:
            return Misread.VOLTAGE
        if reading.percent is None:
            return None
        if not 0 <= reading.percent <= 100:
            return Misread.PERCENT
        return self._check_jump(reading.percent, now_ns)

    def _check_jump(self, percent: float, now_ns: int) -> Misread | None:
        """Check against what is believed; before three agree, a new one starts over.

        Otherwise a first reading that was wrong would keep the right ones out for minutes.
        """
        slack = JUMP_SLACK_PERCENT
        if self._believed:
            then, _ = sorted(self._believed)[len(self._believed) // 2]
            near_ns = [at_ns for one, at_ns in self._believed if abs(one - then) <= slack]
            then_ns = max(near_ns)
            allowed = slack + (now_ns - then_ns) * self._percent_per_ns
            if abs(percent - then) > allowed + _ROUNDING_PERCENT:
                if len(self._believed) == BELIEVED:
                    return Misread.JUMP
                self._believed.clear()
        self._believed.append((percent, now_ns))
        return None
