"""How many readings make another power mode: a pure function of printable inputs.

What one reading calls for is :func:`.rules.wanted`'s word. A mode is entered after ``confirm`` readings
in a row that call for it or for a poorer one; critical after twice as many, since gauges that fail say
"empty" more than anything else. Mains must have been back for half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import ModeRules, wanted

__all__ = ["CRITICAL_TIMES", "MAINS_BACK_S", "ModeDecision", "ModeInputs", "decide_mode"]

CRITICAL_TIMES: Final = 2
"""So many times ``confirm`` readings make the charge critical."""

MAINS_BACK_S: Final = 30.0
"""Mains that is back for less may be gone again; a flush then costs what was just saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeInputs:
    """What the mode is decided from.

    Attributes:
        mode: the present one.
        known: it was confirmed, not assumed.
        reading: the latest that can be true.
        weak: the board called its voltage too low, now or a short while ago.
        rules: where the lines are.
        row: what the readings before called for, oldest first, while they are not confirmed.
        mains_since_ns: since when readings call for mains; None: the last one did not.
        now_ns: monotonic time of the reading.
    """

    mode: Mode
    known: bool
    reading: PowerReading
    weak: bool
    rules: ModeRules
    row: tuple[Mode, ...]
    mains_since_ns: int | None
    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeDecision:
    """What a reading leads to.

    Attributes:
        mode: the one from now on.
        entered: whether it was confirmed by this reading.
        called: the mode that this reading alone calls for.
        reason: why it does.
        row, mains_since_ns: as in :class:`ModeInputs`, for the next reading.
    """

    mode: Mode
    entered: bool
    called: Mode
    reason: str
    row: tuple[Mode, ...]
    mains_since_ns: int | None


def decide_mode(inputs: ModeInputs) -> ModeDecision:
    """Return the mode after one more reading."""
    called, reason = wanted(inputs.mode, inputs.reading, inputs.rules, weak=inputs.weak)
    since_ns = None
    if called is Mode.MAINS:
        since_ns = inputs.now_ns if inputs.mains_since_ns is None else inputs.mains_since_ns
    mode, entered = inputs.mode, False
    row: tuple[Mode, ...] = ()
    if called is not inputs.mode or not inputs.known:
        row = _lengthened(inputs, called)
        confirmed = _confirmed(inputs, row, since_ns)
        if confirmed is not None and not (confirmed is inputs.mode and inputs.known):
            # where the reading calls for a poorer one still, that is on its way
            mode, entered, row = confirmed, True, () if confirmed is called else row
    return ModeDecision(
        mode=mode, entered=entered, called=called, reason=reason, row=row, mains_since_ns=since_ns
    )


def is_poorer(mode: Mode, than: Mode) -> bool:
    """Say whether a mode is more frugal than another."""
    return mode.value > than.value


def _lengthened(inputs: ModeInputs, called: Mode) -> tuple[Mode, ...]:
    row, mode = inputs.row, inputs.mode
    if row and is_poorer(called, mode) is not is_poorer(row[-1], mode):
        row = ()
    return (*row, called)[-inputs.rules.confirm * CRITICAL_TIMES :]


def _confirmed(inputs: ModeInputs, row: tuple[Mode, ...], since_ns: int | None) -> Mode | None:
    """Give the mode on which all readings of the row agree: they may differ in how far.

    On the way down that is the richest that was called for, on the way up the poorest.
    """
    needed = inputs.rules.confirm
    if len(row) < needed:
        return None
    recent = sorted(row[-needed:], key=lambda mode: mode.value)
    if is_poorer(recent[0], inputs.mode):
        sure = len(row) == needed * CRITICAL_TIMES and set(row) == {Mode.CRITICAL}
        return Mode.CRITICAL if sure else min(recent[0], Mode.LOW, key=lambda mode: mode.value)
    if recent[-1] is Mode.MAINS and inputs.known:
        back_ns = inputs.now_ns - (inputs.now_ns if since_ns is None else since_ns)
        return Mode.MAINS if back_ns >= MAINS_BACK_S * 1e9 else None
    return recent[-1]
