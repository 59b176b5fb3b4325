"""Decides the power mode: readings in, decisions with reasons out. Pure; see :mod:`.task`.

========  =====================================================================================
mode      when
========  =====================================================================================
mains     something feeds the device, or no battery is known
battery   the battery feeds it; or mains with a voltage that the board calls too low
low       on battery, at or below ``low_percent``; or with a voltage that is too low
critical  on battery, at or below ``critical_percent``
========  =====================================================================================

A mode is entered after ``confirm`` plausible readings in a row that call for it; critical after
twice as many, since gauges that fail say "empty" more than anything else. Low and critical are
left five points above the line at which they were entered, and mains must have been back for
half a minute. ``confirm`` critical readings after that of the mode the agent is told to stop, once.

A reading that cannot be true counts for nothing, and so does one that lacks a charge that was
known before. A charge that jumps ends a row and begins none.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.power.modes import SETTINGS, Mode, ModeSettings
from whimbrel_agent.power.plausibility import Misread, Plausibility
from whimbrel_agent.power.reading import PowerReading

__all__ = ["ModeChanged", "ModeRules", "PowerMachine", "StopNow", "wanted"]

HYSTERESIS_PERCENT: Final = 5.0
"""A gauge's noise and a load's sag are less; without it a mode would flap at its line."""

CONFIRM_S: Final = 5.0
"""Between two looks while a change is being confirmed: a loss of mains is believed in ten seconds,
and a brown-out of two is not seen."""

CRITICAL_TIMES: Final = 2
"""So many times ``confirm`` readings make the charge critical."""

MAINS_BACK_S: Final = 30.0
"""Mains that is back for less may be gone again; a flush then costs what was just saved."""

WEAK_HOLD_S: Final = 600.0
"""Under-voltage comes with load: without load it is gone, and with the next load back."""

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


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """The mode is another one from now on."""

    mode: Mode
    settings: ModeSettings
    reason: str


@dataclass(frozen=True, slots=True)
class StopNow:
    """The charge is critical, beyond doubt: flush, close and end."""

    reason: str


Decision = ModeChanged | StopNow


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


class PowerMachine:
    """Debounces and decides.

    Args:
        rules: where the lines are.
    """

    def __init__(self, rules: ModeRules) -> None:
        self._rules = rules
        self._plausibility = Plausibility(rules.shortest_runtime_s)
        self.mode = Mode.MAINS
        self.reason = "nothing was read yet: mains is assumed"
        self._max_poll_s = rules.max_poll_s
        self._known = False
        self._next: Mode | None = None
        self._next_count = 0
        self._next_since_ns = 0
        self._critical_count = 0
        self._stopped = False
        self._weak_until_ns: int | None = None
        self._reading = PowerReading()
        self._read_ns: int | None = None
        self._counts: Counter[str] = Counter()
        self._last_failure = ""

    @property
    def settings(self) -> ModeSettings:
        """What the present mode asks for."""
        return SETTINGS[self.mode]

    @property
    def poll_s(self) -> float:
        """How long until the next look: soon near the critical line, sooner to confirm something."""
        near = self._is_critical(self._reading, within=HYSTERESIS_PERCENT)
        wait_s = min((SETTINGS[Mode.CRITICAL] if near else self.settings).poll_s, self._max_poll_s)
        stop_near = self._rules.stop_at_critical and self._critical_count > 0 and not self._stopped
        return min(wait_s, CONFIRM_S) if self._next is not None or stop_near else wait_s

    def is_or_turns(self, mode: Mode) -> bool:
        """Say whether this is the mode, or the one that the last readings call for."""
        return mode in (self.mode, self._next)

    def unheard_s(self, now_ns: int) -> float:
        """Say how old the last reading is that was believed; infinite before the first."""
        return math.inf if self._read_ns is None else (now_ns - self._read_ns) / 1e9

    def receive(self, reading: PowerReading, now_ns: int) -> tuple[Decision, ...]:
        """Take one reading.

        Args:
            reading: as its source gave it.
            now_ns: monotonic time of the look.
        """
        self._counts["readings"] += 1
        misread = self._plausibility.check(reading, now_ns)
        if misread is not None:
            self._counts[misread.name.lower()] += 1
            if misread is Misread.JUMP:
                self._doubt(reading)
            return ()
        if reading.percent is None and not reading.on_mains and self._plausibility.knows_charge:
            self._counts["absent"] += 1
            return ()
        self._reading, self._read_ns, self._last_failure = reading, now_ns, ""
        mode, reason = wanted(self.mode, reading, self._rules, weak=self._is_weak(reading, now_ns))
        return (*self._settle(mode, reason, now_ns), *self._consider_stop(reason))

    def receive_failure(self, why: str) -> None:
        """Take that the source did not answer: nothing changes, since nothing is known."""
        self._counts["failures"] += 1
        self._last_failure = why

    def figures(self, source: str, now_ns: int) -> PowerFigures:
        """Give everything for status.

        Args:
            source: its name.
            now_ns: monotonic.
        """
        counts = Counter(self._counts)
        readings, failures = counts.pop("readings", 0), counts.pop("failures", 0)
        return PowerFigures(
            source=source,
            mode=self.mode,
            reason=self.reason,
            settings=self.settings,
            reading=self._reading,
            read_age_s=None if self._read_ns is None else (now_ns - self._read_ns) / 1e9,
            readings=readings,
            misread=dict(counts),
            failures=failures,
            last_failure=self._last_failure,
            stopping=self._stopped,
        )

    def _is_weak(self, reading: PowerReading, now_ns: int) -> bool:
        """Say whether the voltage is too low, or was when a mode was chosen for it."""
        if reading.under_voltage:
            if self._weak_until_ns is not None:
                self._weak_until_ns = now_ns + int(WEAK_HOLD_S * 1e9)
            return True
        if self._weak_until_ns is not None and now_ns >= self._weak_until_ns:
            self._weak_until_ns = None
        return self._weak_until_ns is not None

    def _doubt(self, reading: PowerReading) -> None:
        """Let a jump speak against what is being confirmed, though never for anything.

        Where right and wrong readings alternate, this may be the right one.
        """
        mode, _ = wanted(self.mode, reading, self._rules, weak=False)
        if mode is not self._next:
            self._next = None
        if not self._is_critical(reading):
            self._critical_count = 0

    def _is_critical(self, reading: PowerReading, *, within: float = 0) -> bool:
        """Say whether a reading counts towards the stop (hysteresis does not), or comes near."""
        percent = reading.percent
        return (
            not reading.on_mains
            and percent is not None
            and percent <= self._rules.critical_percent + within
        )

    def _settle(self, mode: Mode, reason: str, now_ns: int) -> tuple[Decision, ...]:
        if mode is self.mode and self._known:
            self._next, self.reason = None, reason
            return ()
        if mode is not self._next:
            self._next, self._next_count, self._next_since_ns = mode, 0, now_ns
        self._next_count += 1
        since_ns = now_ns - self._next_since_ns
        too_new = self._known and mode is Mode.MAINS and since_ns < MAINS_BACK_S * 1e9
        needed = self._rules.confirm * (CRITICAL_TIMES if mode is Mode.CRITICAL else 1)
        if self._next_count < needed or too_new:
            return ()
        self._next, self._known = None, True
        changed = mode is not self.mode
        self.mode, self.reason = mode, reason
        if self._reading.under_voltage:
            self._weak_until_ns = now_ns + int(WEAK_HOLD_S * 1e9)
        return (ModeChanged(mode, self.settings, reason),) if changed else ()

    def _consider_stop(self, reason: str) -> tuple[Decision, ...]:
        if self.mode is not Mode.CRITICAL:
            self._critical_count, self._stopped = 0, False
            return ()
        if not self._is_critical(self._reading):
            self._critical_count = 0
            return ()
        self._critical_count += 1
        enough = self._critical_count > self._rules.confirm  # the first one made the mode
        if not enough or self._stopped or not self._rules.stop_at_critical:
            return ()
        self._stopped = True
        readings = self._rules.confirm * (CRITICAL_TIMES + 1)
        return (StopNow(f"{reason}, confirmed by {readings} readings"),)
