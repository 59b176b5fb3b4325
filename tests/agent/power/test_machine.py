"""Modes, their hysteresis, the stop, and a thousand misreads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from whimbrel_agent.power.machine import Decision, ModeChanged, PowerMachine, StopNow
from whimbrel_agent.power.modes import SETTINGS, Mode
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import ModeRules

S = 1_000_000_000
RULES = ModeRules()
MAINS = PowerReading(on_mains=True, percent=80, volts=4.1)


def battery(percent: float | None) -> PowerReading:
    return PowerReading(on_mains=False, percent=percent, volts=3.7)


class Device:
    """A machine and its time: looks when the machine wants to."""

    def __init__(self, rules: ModeRules = RULES) -> None:
        self.machine = PowerMachine(rules)
        self.now_ns = 1_000 * S
        self.decisions: list[Decision] = []

    def see(self, reading: PowerReading, times: int = 1) -> tuple[Decision, ...]:
        made: list[Decision] = []
        for _ in range(times):
            made += self.machine.receive(reading, self.now_ns)
            self.now_ns += int(self.machine.poll_s * S)
        self.decisions += made
        return tuple(made)

    def later(self, minutes: float) -> None:
        self.now_ns += int(minutes * 60 * S)

    def mode(self) -> Mode:
        return self.machine.mode

    @property
    def stopped(self) -> bool:
        return any(isinstance(one, StopNow) for one in self.decisions)


def on_battery_at(percent: float) -> Device:
    device = Device()
    device.see(battery(percent), 3)
    return device


def test_a_mode_takes_three_readings_in_a_row() -> None:
    device = Device()
    assert device.see(battery(80), 2) == ()
    [changed] = device.see(battery(80))
    assert changed == ModeChanged(Mode.BATTERY, SETTINGS[Mode.BATTERY], "on battery at 80 %")
    assert device.see(battery(79), 10) == ()


def test_one_other_reading_begins_the_row_anew() -> None:
    device = on_battery_at(30)
    for _ in range(50):
        assert device.see(battery(20), 2) == ()
        assert device.see(battery(30)) == ()
    assert device.mode() is Mode.BATTERY


def test_readings_that_differ_in_how_far_agree_on_the_nearer() -> None:
    device = on_battery_at(60)
    device.later(30)
    for _ in range(10):  # a gauge that dithers about the critical line
        device.see(battery(5))
        device.see(battery(6))
    assert device.mode() is Mode.LOW
    for _ in range(10):  # half of them see mains: nobody has been on mains for half a minute
        device.see(replace(MAINS, percent=30))
        device.see(battery(30))
    assert device.mode() is Mode.BATTERY


def test_a_critical_charge_is_low_while_it_is_confirmed() -> None:
    device = Device()
    device.see(battery(4), 9)
    assert [one.mode for one in device.decisions if isinstance(one, ModeChanged)] == [
        Mode.LOW,
        Mode.CRITICAL,
    ]


def test_looks_come_soon_while_a_change_is_being_confirmed() -> None:
    device = Device()
    assert device.machine.poll_s == 60
    device.see(battery(80))
    assert device.machine.poll_s == 5
    device.see(battery(80), 2)
    assert device.machine.poll_s == 60


def test_the_operator_s_shorter_interval_stands() -> None:
    device = Device(replace(RULES, max_poll_s=2))
    assert device.machine.poll_s == 2
    device.see(battery(80))
    assert device.machine.poll_s == 2


def test_mains_must_have_been_back_for_half_a_minute() -> None:
    device = on_battery_at(60)
    for _ in range(20):  # it comes for fifteen seconds, and is gone again
        device.see(replace(MAINS, percent=60), 4)
        device.see(battery(60))
    assert device.mode() is Mode.BATTERY
    device.see(replace(MAINS, percent=60), 7)
    assert device.mode() is Mode.MAINS


def test_under_voltage_is_remembered_while_the_load_is_light() -> None:
    device = Device()
    device.see(replace(MAINS, under_voltage=True), 3)
    assert device.mode() is Mode.BATTERY
    assert "voltage" in device.machine.reason
    device.see(replace(MAINS, under_voltage=False), 9)
    assert device.mode() is Mode.BATTERY
    device.later(10)
    device.see(replace(MAINS, under_voltage=False), 7)
    assert device.mode() is Mode.MAINS


def test_a_flag_that_was_seen_once_changes_nothing() -> None:
    device = Device()
    device.see(MAINS, 3)
    device.see(replace(MAINS, under_voltage=True))
    device.see(MAINS, 20)
    assert device.decisions == []


def test_a_critical_charge_stops_the_agent_once() -> None:
    device = on_battery_at(8)
    assert device.mode() is Mode.LOW
    device.see(battery(5), 5)
    assert device.mode() is Mode.LOW
    device.see(battery(5))
    assert device.mode() is Mode.CRITICAL
    device.see(battery(5), 2)
    assert not device.stopped
    assert device.see(battery(5)) == (
        StopNow("on battery at 5 %, at or below 5 %, confirmed by 9 readings"),
    )
    assert device.see(battery(4), 50) == ()


def test_the_stop_is_confirmed_within_a_minute_of_the_crossing() -> None:
    device = on_battery_at(8)
    since_ns = device.now_ns - int(device.machine.poll_s * S)
    device.see(battery(5), 8)
    confirmed_ns = device.now_ns
    device.see(battery(5))
    assert device.stopped
    assert confirmed_ns - since_ns <= 60 * S


@pytest.mark.parametrize(("percent", "poll_s"), [(10, 20), (10.5, 60)])
def test_looks_come_sooner_near_the_critical_line(percent: float, poll_s: float) -> None:
    assert on_battery_at(percent).machine.poll_s == poll_s


@pytest.mark.parametrize("between", [replace(MAINS, percent=5), battery(6)])
def test_any_better_reading_begins_the_count_to_the_stop_anew(between: PowerReading) -> None:
    device = on_battery_at(5)
    device.see(battery(5), 3)
    assert device.mode() is Mode.CRITICAL
    for _ in range(20):
        device.see(battery(5), 2)
        device.see(between)
    assert not device.stopped


def test_a_charge_that_is_absent_now_decides_nothing() -> None:
    device = on_battery_at(6)
    device.see(battery(None), 50)
    assert (device.mode(), device.stopped) == (Mode.LOW, False)
    device.see(PowerReading(), 50)
    assert device.mode() is Mode.LOW
    assert device.machine.figures("t", device.now_ns).misread == {"absent": 100}


def test_a_battery_whose_charge_nobody_ever_knew_is_one_all_the_same() -> None:
    device = Device()
    device.see(battery(None), 3)
    assert device.mode() is Mode.BATTERY


def test_absent_readings_do_not_hide_a_critical_charge() -> None:
    device = on_battery_at(8)
    for _ in range(9):
        device.see(battery(5))
        device.see(battery(None))
    assert device.stopped


def test_an_operator_can_do_without_the_stop() -> None:
    device = Device(replace(RULES, stop_at_critical=False))
    device.see(battery(3), 50)
    assert (device.mode(), device.stopped) == (Mode.CRITICAL, False)
    assert device.machine.poll_s == SETTINGS[Mode.CRITICAL].poll_s


def test_charged_again_it_can_be_stopped_again() -> None:
    device = on_battery_at(5)
    device.see(battery(5), 6)
    assert device.stopped
    device.see(replace(MAINS, percent=6), 7)
    assert device.mode() is Mode.MAINS
    device.decisions.clear()
    device.see(battery(5), 9)
    assert device.stopped


def test_a_dead_battery_on_mains_is_mains() -> None:
    device = Device()
    device.see(replace(MAINS, percent=0), 50)
    assert (device.mode(), device.stopped) == (Mode.MAINS, False)


def test_figures_tell_everything() -> None:
    device = on_battery_at(64)
    device.machine.receive(replace(battery(64), volts=0.0), device.now_ns)
    device.machine.receive_failure("no answer")
    figures = device.machine.figures("sysfs BAT0", device.now_ns + 5 * S)
    assert (figures.source, figures.mode, figures.reason) == (
        "sysfs BAT0", Mode.BATTERY, "on battery at 64 %",
    )  # fmt: skip
    assert (figures.readings, figures.misread, figures.failures) == (4, {"voltage": 1}, 1)
    assert figures.last_failure == "no answer"
    assert figures.reading == battery(64)
    assert figures.read_age_s == 65
    device.see(battery(64))
    assert device.machine.figures("", device.now_ns).last_failure == ""


# ------------------------------------------------------------------ misreads

MISREADS: dict[str, Callable[[PowerReading, Random], PowerReading | None]] = {
    "no voltage": lambda r, _: replace(r, volts=0.0),
    "no voltage, empty": lambda r, _: replace(r, volts=0.0, percent=0.0),
    "huge voltage": lambda r, chance: replace(r, volts=chance.uniform(101, 65_535)),
    "empty": lambda r, _: replace(r, percent=0.0),
    "empty, without mains": lambda r, _: replace(r, percent=0.0, on_mains=False),
    "above full": lambda r, chance: replace(r, percent=chance.uniform(100.5, 255)),
    "below empty": lambda r, chance: replace(r, percent=chance.uniform(-255, -0.1)),
    "any percent": lambda r, chance: replace(r, percent=chance.uniform(0, 100)),
    "not a number": lambda r, _: replace(r, percent=math.nan),
    "infinite": lambda r, _: replace(r, volts=math.inf),
    "mains flips": lambda r, _: replace(r, on_mains=not r.on_mains),
    "under-voltage": lambda r, _: replace(r, under_voltage=True),
    "absent": lambda _r, _: PowerReading(),
    "charge absent": lambda r, _: replace(r, percent=None),
    "no answer": lambda _r, _: None,
}
TRUTHS = {
    "on mains": (MAINS, Mode.MAINS),
    "on battery": (battery(64), Mode.BATTERY),
    "low": (battery(15), Mode.LOW),
    "nearly critical": (battery(7), Mode.LOW),
    "dead battery on mains": (replace(MAINS, percent=0.0, volts=2.9), Mode.MAINS),
}
NEAR_THE_LINE = {"nearly critical", "dead battery on mains"}
"""Six wrong readings in a row that are this near to the truth would be a mode, nine a stop."""


@pytest.mark.parametrize("kind", MISREADS)
@pytest.mark.parametrize("truth", TRUTHS)
def test_a_thousand_single_misreads_of_a_kind_change_nothing(kind: str, truth: str) -> None:
    reading, mode = TRUTHS[truth]
    chance = Random(f"{kind} {truth}")
    device = Device()
    device.see(reading, 3)
    device.decisions.clear()
    for _ in range(1_000):
        wrong = MISREADS[kind](reading, chance)
        if wrong is None:
            device.machine.receive_failure("no answer")
        else:
            device.see(wrong)
        device.see(reading, chance.randint(1, 3))
    assert (device.decisions, device.mode()) == ([], mode)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("truth", TRUTHS)
def test_a_thousand_misreads_in_any_runs_never_stop_a_device(seed: int, truth: str) -> None:
    """One reading in four is wrong, so that several in a row are too."""
    reading, _ = TRUTHS[truth]
    chance = Random(seed)
    device = Device()
    device.see(reading, 3)
    misreads = 0
    while misreads < 1_000:
        if chance.random() < 0.25:
            misreads += 1
            wrong = MISREADS[chance.choice(list(MISREADS))](reading, chance)
            if wrong is None:
                device.machine.receive_failure("no answer")
                continue
            device.see(wrong)
        else:
            device.see(reading)
    assert not device.stopped
    if truth not in NEAR_THE_LINE:
        modes = {one.mode for one in device.decisions if isinstance(one, ModeChanged)}
        assert Mode.CRITICAL not in modes


@pytest.mark.parametrize("seed", range(8))
def test_misreads_do_not_hide_a_discharge(seed: int) -> None:
    """The same stream of wrong readings, over a battery that really runs empty in two hours."""
    chance = Random(seed)
    device = Device()
    device.see(battery(100), 3)
    start_ns = device.now_ns
    percent = 100.0
    while not device.stopped:
        percent = max(0.0, 100 - (device.now_ns - start_ns) / S / 7_200 * 100)
        assert percent > 0.5, "it ran empty"
        truth = battery(round(percent))
        wrong = MISREADS[chance.choice(list(MISREADS))](truth, chance)
        device.see(wrong if wrong is not None and chance.random() < 0.25 else truth)
    assert percent <= 6
    modes = [one.mode for one in device.decisions if isinstance(one, ModeChanged)]
    assert [modes[0], modes[-2], modes[-1]] == [Mode.BATTERY, Mode.LOW, Mode.CRITICAL]
