"""Which power mode one plausible reading calls for, and why: a pure function of printable inputs.

========  =====================================================================================
mode      when
========  =====================================================================================
mains     something feeds the device, or no battery is known
battery   the battery feeds it; or mains with a voltage that the board calls too low
low       on battery, at or below ``low_percent``; or at any charge with a voltage that is too low
critical  on battery, at or below ``critical_percent``
========  =====================================================================================

Low and critical are left five points above the line at which they were entered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.reading import PowerReading

__all__ = ["HYSTERESIS_PERCENT", "NO_BATTERY", "ModeRules", "wanted"]

HYSTERESIS_PERCENT: Final = 5.0
"""A gauge's noise and a load's sag are less; without it a mode would flap at its line."""

NO_BATTERY: Final = "no battery is known: mains is assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRules:
    """Where the lines are.

    Attributes:
        low_percent, critical_percent: at or below this charge.
        confirm: so many readings in a row are needed for a change.
        stop_at_critical: whether a critical charge stops the agent.
        max_poll_s: at most so long between two looks, whatever the mode says.
        shortest_runtime_s: see :class:`~whimbrel_agent.power.plausibility.Plausibility`.
    """

    low_percent: float = 20.0  # an hour on a small HAT: enough to be frugal with
    critical_percent: float = 5.0  # gauges err by a few points, and 3 % run out in minutes
    confirm: int = 3
    stop_at_critical: bool = True
    max_poll_s: float = 600.0
    shortest_runtime_s: float = 900.0  # a 1200 mAh HAT under a Pi 5 at full load: 33 minutes


def wanted(mode: Mode, reading: PowerReading, rules: ModeRules, *, weak: bool) -> tuple[Mode, str]:
    """Give the mode that a plausible reading calls for, and why.

    Args:
        mode: the present one, for its hysteresis.
        reading: what was read.
        rules: where the lines are.
        weak: the board called its voltage too low, now or a short while ago.
    """
    percent = reading.percent
    charge = "" if percent is None else f" at {percent:.0f} %"
    if reading.on_mains is None and percent is None:
        if weak:
            return Mode.BATTERY, "the board calls its supply's voltage too low"
        return Mode.MAINS, NO_BATTERY
    if reading.on_mains:
        if weak:
            return Mode.BATTERY, f"on mains{charge}, whose voltage the board calls too low"
        return Mode.MAINS, f"on mains{charge}"
    if percent is None:
        known = mode if mode is not Mode.MAINS else Mode.BATTERY
        return (Mode.LOW if weak and known is Mode.BATTERY else known), (
            "on battery, whose charge is not known now"
        )
    return _by_charge(mode, percent, rules, weak=weak)


def _by_charge(mode: Mode, percent: float, rules: ModeRules, *, weak: bool) -> tuple[Mode, str]:
    critical, low = rules.critical_percent, rules.low_percent
    at = f"on battery at {percent:.0f} %"
    if percent <= critical:
        return Mode.CRITICAL, f"{at}, at or below {critical:g} %"
    if mode is Mode.CRITICAL and percent <= critical + HYSTERESIS_PERCENT:
        return Mode.CRITICAL, f"{at}, not yet above {critical + HYSTERESIS_PERCENT:g} %"
    if percent <= low:
        return Mode.LOW, f"{at}, at or below {low:g} %"
    if mode in (Mode.LOW, Mode.CRITICAL) and percent <= low + HYSTERESIS_PERCENT:
        return Mode.LOW, f"{at}, not yet above {low + HYSTERESIS_PERCENT:g} %"
    if weak:
        return Mode.LOW, f"{at}, and the board calls its voltage too low"
    return Mode.BATTERY, at
