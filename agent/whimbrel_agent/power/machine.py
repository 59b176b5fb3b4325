"""Debounces readings into decisions with reasons: modes, and the stop. Pure; see :mod:`.task`.

What one reading calls for is :mod:`.rules`' word, and :mod:`.confirming`'s how many of them it takes.
``confirm`` critical readings after those that made the mode, the agent is told to stop, once.

A reading that cannot be true counts for nothing, and so does one that lacks a charge that was
known before. A charge that jumps ends a row and begins none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.power.confirming import (
    CRITICAL_TIMES,
    ModeDecision,
    ModeInputs,
    decide_mode,
    is_poorer,
)
from whimbrel_agent.power.figures import PowerFigures
from whimbrel_agent.power.modes import SETTINGS, Mode, ModeSettings
from whimbrel_agent.power.plausibility import Misread, Plausibility
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import HYSTERESIS_PERCENT, ModeRules, wanted

__all__ = ["ModeChanged", "PowerMachine", "StopNow"]

CONFIRM_S: Final = 5.0
"""Between two looks while a change is being confirmed: a loss of mains is believed in ten seconds,
and a brown-out of two is not seen."""

WEAK_HOLD_S: Final = 600.0
"""Under-voltage comes with load: without load it is gone, and with the next load back."""


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


class PowerMachine:
    """Debounces and decides.

    Args:
        rules: where the lines are.
        journal: where decisions are noted.
        modes: what each mode asks for.
    """

    def __init__(
        self,
        rules: ModeRules,
        journal: DecisionJournal | None = None,
        modes: Mapping[Mode, ModeSettings] = SETTINGS,
    ) -> None:
        self._modes = modes
        self._journal = journal or DecisionJournal()
        self._rules = rules
        self._plausibility = Plausibility(rules.shortest_runtime_s)
        self.mode = Mode.MAINS
        self.reason = "nothing was read yet: mains is assumed"
        self._max_poll_s = rules.max_poll_s
        self._known = False
        self._row: tuple[Mode, ...] = ()
        self._mains_since_ns: int | None = None
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
        return self._modes[self.mode]

    @property
    def poll_s(self) -> float:
        """How long until the next look: soon near the critical line, sooner to confirm something."""
        near = self._is_critical(self._reading, within=HYSTERESIS_PERCENT)
        settings = self._modes[Mode.CRITICAL] if near else self.settings
        wait_s = min(settings.poll_s, self._max_poll_s)
        stop_near = self._rules.stop_at_critical and self._critical_count > 0 and not self._stopped
        return min(wait_s, CONFIRM_S) if self._row or stop_near else wait_s

    def is_or_turns(self, mode: Mode) -> bool:
        """Say whether this is the mode, or the one that the last readings call for."""
        return mode is self.mode or (bool(self._row) and mode is self._row[-1])

    def begin(self) -> None:
        """Have a stop announced from now on, whatever was announced before the start."""
        self._stopped, self._critical_count = False, 0

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
        inputs = ModeInputs(
            mode=self.mode,
            known=self._known,
            reading=reading,
            weak=self._is_weak(reading, now_ns),
            rules=self._rules,
            row=self._row,
            mains_since_ns=self._mains_since_ns,
            now_ns=now_ns,
        )
        decided = decide_mode(inputs)
        self._row, self._mains_since_ns = decided.row, decided.mains_since_ns
        return (*self._settle(decided, inputs), *self._consider_stop(decided.reason))

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
        if self._row and self._is_poorer(mode) is not self._is_poorer(self._row[-1]):
            self._row = ()
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

    def _settle(self, decided: ModeDecision, inputs: ModeInputs) -> tuple[Decision, ...]:
        if not decided.entered:
            if decided.called is self.mode and self._known:
                self.reason = decided.reason
            return ()
        changed = decided.mode is not self.mode
        self._known, self.mode, self.reason = True, decided.mode, decided.reason
        self._journal.note("power", decided, inputs, inputs.now_ns / 1e9, said=decided)
        if self._reading.under_voltage:
            self._weak_until_ns = inputs.now_ns + int(WEAK_HOLD_S * 1e9)
        return (ModeChanged(self.mode, self.settings, self.reason),) if changed else ()

    def _is_poorer(self, mode: Mode) -> bool:
        return is_poorer(mode, self.mode)

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
