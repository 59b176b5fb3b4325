"""Which mode one reading calls for."""

from __future__ import annotations

import pytest

from whimbrel_agent.power.modes import Mode
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import NO_BATTERY, ModeRules, wanted

RULES = ModeRules()
MAINS = PowerReading(on_mains=True, percent=80, volts=4.1)


def battery(percent: float | None) -> PowerReading:
    return PowerReading(on_mains=False, percent=percent, volts=3.7)


@pytest.mark.parametrize(
    ("reading", "mode", "reason"),
    [
        (MAINS, Mode.MAINS, "on mains at 80 %"),
        (PowerReading(on_mains=True), Mode.MAINS, "on mains"),
        (PowerReading(), Mode.MAINS, NO_BATTERY),
        (battery(80), Mode.BATTERY, "on battery at 80 %"),
        (battery(20), Mode.LOW, "on battery at 20 %, at or below 20 %"),
        (battery(5), Mode.CRITICAL, "on battery at 5 %, at or below 5 %"),
        (battery(None), Mode.BATTERY, "on battery, whose charge is not known now"),
        (PowerReading(percent=50), Mode.BATTERY, "on battery at 50 %"),
    ],
)
def test_a_reading_calls_for_a_mode_with_a_reason(
    reading: PowerReading, mode: Mode, reason: str
) -> None:
    assert wanted(Mode.MAINS, reading, RULES, weak=False) == (mode, reason)


@pytest.mark.parametrize(
    ("reading", "mode"),
    [
        (MAINS, Mode.BATTERY),
        (PowerReading(), Mode.BATTERY),
        (battery(80), Mode.LOW),
        (battery(None), Mode.LOW),
        (battery(15), Mode.LOW),
        (battery(4), Mode.CRITICAL),
    ],
)
def test_a_weak_supply_is_one_mode_poorer_and_never_critical_alone(
    reading: PowerReading, mode: Mode
) -> None:
    assert wanted(Mode.MAINS, reading, RULES, weak=True)[0] is mode


@pytest.mark.parametrize(
    ("now", "percent", "mode"),
    [
        (Mode.LOW, 25, Mode.LOW),
        (Mode.LOW, 25.1, Mode.BATTERY),
        (Mode.BATTERY, 21, Mode.BATTERY),
        (Mode.CRITICAL, 10, Mode.CRITICAL),
        (Mode.CRITICAL, 10.1, Mode.LOW),
        (Mode.CRITICAL, 24, Mode.LOW),
        (Mode.CRITICAL, 26, Mode.BATTERY),
        (Mode.LOW, 6, Mode.LOW),
    ],
)
def test_lines_are_left_five_points_above(now: Mode, percent: float, mode: Mode) -> None:
    assert wanted(now, battery(percent), RULES, weak=False)[0] is mode
