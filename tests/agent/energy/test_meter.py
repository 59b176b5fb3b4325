"""The meter: figures by cause, a day of samples, and one warning a day."""

from __future__ import annotations

import json
import logging

import pytest

from whimbrel_agent.energy.figures import energy_lines
from whimbrel_agent.energy.meter import EnergyMeter
from whimbrel_agent.plain import plain
from whimbrel_agent.profiles.choosing import ChosenProfile
from whimbrel_agent.profiles.library import load_profile
from whimbrel_protocol.lanes import ClockQuality

HOUR_S = 3600.0
PROFILE = load_profile("battery-sensor-hub-lte")


class Device:
    """Clock and kernel of one device, moved by hand."""

    boot_id = b"boot"

    def __init__(self, *, counts: bool = True) -> None:
        self.now_s = 5000.0
        self.cpu: float | None = 7.0 if counts else None
        self.written: int | None = 1_000_000 if counts else None
        self.card: int | None = 9_000_000 if counts else None
        self.commits = 0

    def wall_ns(self) -> int:
        raise AssertionError("the meter needs no wall clock")

    def mono_ns(self) -> int:
        return round(self.now_s * 1e9)

    def quality(self) -> ClockQuality:
        return ClockQuality.UNKNOWN

    def cpu_s(self) -> float | None:
        return self.cpu

    def written_bytes(self) -> int | None:
        return self.written

    def disk_written_bytes(self) -> int | None:
        return self.card

    def hour(self, *, written_mb: float = 0, cpu_s: float = 0) -> None:
        self.now_s += HOUR_S
        assert self.cpu is not None
        assert self.written is not None
        assert self.card is not None
        self.cpu += cpu_s
        self.written += round(written_mb * 1e6)
        self.card += round(2 * written_mb * 1e6)


def meter_of(device: Device) -> EnergyMeter:
    chosen = ChosenProfile(PROFILE, "a test")
    return EnergyMeter(chosen, device, device, commits=lambda: device.commits)


def test_counters_are_taken_from_the_start_of_the_meter() -> None:
    device = Device()
    meter = meter_of(device)
    device.hour(written_mb=10, cpu_s=100)
    device.commits = 1000
    figures = meter.figures()
    assert figures.work.cpu_s == pytest.approx(100)
    assert figures.wear.written_bytes == 10_000_000
    since = figures.since_start
    assert since.base_j == pytest.approx(0.39 * HOUR_S)
    assert since.cpu_j == pytest.approx(40)
    assert since.flash_j == pytest.approx(4 + 10e6 * 3.3e-8, abs=0.001)
    assert since.agent_j == pytest.approx(since.cpu_j + since.flash_j, abs=0.002)
    assert figures.last_day == since


def test_the_last_day_forgets_what_was_before_it() -> None:
    device = Device()
    meter = meter_of(device)
    for hour in range(48):
        device.hour(written_mb=100 if hour < 20 else 1, cpu_s=10)
        meter.sample()
    figures = meter.figures()
    assert figures.last_day.span_s == 24 * HOUR_S
    assert figures.last_day.cpu_j == pytest.approx(24 * 10 * 0.4)
    assert figures.since_start.cpu_j == pytest.approx(48 * 10 * 0.4)
    assert figures.wear.written_mb_per_day == pytest.approx(24)
    assert figures.wear.card_mb_per_day == pytest.approx(48)


def test_wear_over_budget_is_warned_of_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    device = Device()
    meter = meter_of(device)
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            device.hour(written_mb=10)  # 240 MB a day, the budget is 200
            meter.sample()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 3  # after 6, 30 and 54 hours
    assert "240 MB a day are written to flash, the profile's budget is 200" in warnings[0]
    assert meter.figures().wear.over_budget


def test_wear_within_budget_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    device = Device()
    meter = meter_of(device)
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            device.hour(written_mb=8)
            meter.sample()
    assert caplog.records == []


def test_a_kernel_that_does_not_count_is_said_so() -> None:
    device = Device(counts=False)
    meter = meter_of(device)
    device.now_s += HOUR_S
    figures = meter.figures()
    assert figures.wear.written_bytes is figures.wear.years is None
    assert "not measured" in dict(energy_lines(plain(figures)))["flash"]


def test_the_lines_for_people_say_profile_joules_and_years() -> None:
    device = Device()
    meter = meter_of(device)
    for _ in range(24):
        device.hour(written_mb=10, cpu_s=36)
        meter.sample()
    lines = dict(energy_lines(json.loads(json.dumps(plain(meter.figures())))))
    assert lines["profile"] == "battery-sensor-hub-lte (a test)"
    assert "cpu 346" in lines["energy"]
    assert "board at idle 33696; estimated from 24.0 h" in lines["energy"]
    # 74 Wh, of which 85 % may be used, at 0.39 W and 0.004 W of the agent
    assert lines["battery"] == "a full one lasts 160 h at that draw"
    assert "240.0 MB a day, budget 200, OVER BUDGET; whole card 480.0" in lines["flash"]
    assert "a new card lasts 16.5 years" in lines["flash"]


def test_figures_at_the_very_start_divide_by_nothing() -> None:
    figures = meter_of(Device()).figures()
    assert figures.wear.written_mb_per_day is None
    lines = dict(energy_lines(plain(figures)))
    assert lines["energy"] == "agent 0.0 J, board at idle 0 J in 0 min; daily rates after an hour"
    assert lines["flash"] == "0.0 MB so far, budget 200 MB a day"
