"""Readings that cannot be true."""

from __future__ import annotations

import math

import pytest

from whimbrel_agent.power.plausibility import Misread, Plausibility
from whimbrel_agent.power.reading import PowerReading

S = 1_000_000_000
RUNTIME_S = 900


def settled(percent: float = 80) -> Plausibility:
    """Three readings at seconds 0 to 2 are believed."""
    plausibility = Plausibility(RUNTIME_S)
    for second in range(3):
        assert plausibility.check(PowerReading(percent=percent), second * S) is None
    return plausibility


@pytest.mark.parametrize(
    ("reading", "misread"),
    [
        (PowerReading(percent=math.nan), Misread.NOT_A_NUMBER),
        (PowerReading(percent=80, volts=math.inf), Misread.NOT_A_NUMBER),
        (PowerReading(percent=80, watts=math.nan), Misread.NOT_A_NUMBER),
        (PowerReading(percent=80, volts=0.0), Misread.VOLTAGE),
        (PowerReading(percent=80, volts=-3.7), Misread.VOLTAGE),
        (PowerReading(percent=80, volts=3_700.0), Misread.VOLTAGE),
        (PowerReading(percent=-1), Misread.PERCENT),
        (PowerReading(percent=100.1), Misread.PERCENT),
        (PowerReading(percent=255), Misread.PERCENT),
        (PowerReading(percent=0), Misread.JUMP),
        (PowerReading(percent=80), None),
        (PowerReading(percent=100 / 3, volts=3.7), Misread.JUMP),
        (PowerReading(), None),
    ],
)
def test_each_kind_is_told_apart(reading: PowerReading, misread: Misread | None) -> None:
    assert settled().check(reading, 3 * S) is misread


def test_the_allowance_is_the_slack_and_what_the_runtime_allows() -> None:
    # From second 2 to second 92 are 90 s of 900: ten points, and five of slack.
    assert settled().check(PowerReading(percent=65.0), 92 * S) is None
    assert settled().check(PowerReading(percent=64.9), 92 * S) is Misread.JUMP


@pytest.mark.parametrize("every_s", [5, 20, 30, 45, 60, 120])
@pytest.mark.parametrize("runtime_s", [RUNTIME_S, 1_200, 7_200])
def test_the_fastest_discharge_is_believed_all_the_way(every_s: int, runtime_s: int) -> None:
    plausibility = settled(100)
    for now_s in range(3, runtime_s, every_s):
        percent = 100 - now_s / runtime_s * 100
        assert plausibility.check(PowerReading(percent=percent), now_s * S) is None, now_s


def test_a_new_level_that_stays_is_believed_in_the_end() -> None:
    plausibility = settled(80)  # the battery was changed for an emptier one
    checks = [plausibility.check(PowerReading(percent=30), minute * 60 * S) for minute in range(15)]
    assert checks[1] is Misread.JUMP
    assert checks[-1] is None


def test_an_outlier_within_the_allowance_does_not_keep_the_truth_out() -> None:
    plausibility = settled(22)
    assert plausibility.check(PowerReading(percent=17), 3 * S) is None
    assert plausibility.check(PowerReading(percent=22), 4 * S) is None
    assert plausibility.check(PowerReading(percent=22), 5 * S) is None


@pytest.mark.parametrize("wrong", [1, 2])
def test_first_readings_that_were_wrong_do_not_keep_the_right_ones_out(wrong: int) -> None:
    plausibility = Plausibility(RUNTIME_S)
    for second in range(wrong):
        assert plausibility.check(PowerReading(percent=1), second * S) is None
    for second in range(wrong, 10):
        assert plausibility.check(PowerReading(percent=80), second * S) is None


def test_a_charge_is_known_once_one_was_believed() -> None:
    assert not Plausibility(RUNTIME_S).knows_charge
    assert settled().knows_charge
