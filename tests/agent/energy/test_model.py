"""The formula, against sums done by hand."""

from __future__ import annotations

import pytest

from whimbrel_agent.energy.model import (
    SECONDS_PER_DAY,
    Costs,
    Joules,
    RadioCost,
    Work,
    battery_h,
    energy_of,
    gap_j,
    session_j,
)
from whimbrel_agent.profiles.library import load_profile
from whimbrel_agent.profiles.values import Basis, Battery, Figure

LTE = RadioCost(promotion_s=0.26, promotion_j=0.31, tail_s=10, tail_w=1.0, up_j_per_byte=5e-6)


def test_an_overlap_of_tails_is_counted_once() -> None:
    assert gap_j(LTE, 4) == pytest.approx(4)
    assert gap_j(LTE, 10) == pytest.approx(10)
    assert gap_j(LTE, 11) == pytest.approx(10.31)
    assert gap_j(LTE, 1e6) == pytest.approx(10.31) == session_j(LTE)


def test_a_keep_alive_of_a_minute_costs_what_the_literature_says() -> None:
    # 1,440 lone sessions a day: 14.8 kJ on LTE
    assert session_j(LTE) * SECONDS_PER_DAY / 60 == pytest.approx(14_846, rel=0.001)


def test_every_cause_is_priced_by_its_own_constant() -> None:
    costs = Costs(
        idle_w=0.5,
        radio=RadioCost(
            promotion_j=0.3,
            tail_s=10,
            tail_w=2,
            up_j_per_byte=1e-3,
            down_j_per_byte=1e-4,
            frame_j=0.1,
        ),
        cpu_j_per_core_s=0.4,
        commit_j=0.004,
        write_j_per_byte=1e-6,
    )
    work = Work(
        time_s=100,
        radio_wakes=5,
        radio_awake_s=40,
        keepalive_wakes=2,
        keepalive_awake_s=15,
        bytes_up=1000,
        bytes_down=500,
        frames=3,
        cpu_s=10,
        commits=50,
        bytes_written=1_000_000,
    )
    joules = energy_of(work, costs)
    assert joules.base == pytest.approx(50)
    assert joules.radio == pytest.approx(3 * 0.3 + 25 * 2)
    assert joules.keepalive == pytest.approx(2 * 0.3 + 15 * 2)
    assert joules.bytes == pytest.approx(1 + 0.05 + 0.3)
    assert joules.cpu == pytest.approx(4)
    assert joules.flash == pytest.approx(0.2 + 1)
    assert joules.agent == pytest.approx(50.9 + 30.6 + 1.35 + 4 + 1.2)
    assert joules - joules == Joules()


def test_a_battery_lasts_as_a_small_cell_on_a_small_board_did() -> None:
    # 1,200 mAh at 3.7 V ran such a board for 5 to 6 h; the simple model says 6.3 h
    battery = Battery(
        capacity_wh=Figure(4.44, Basis.DATA_SHEET, "x"),
        usable_share=Figure(0.85, Basis.ASSUMED, "x"),
    )
    assert battery_h(battery, Joules(base=0.6 * 100), 100) == pytest.approx(6.29, abs=0.01)
    assert battery_h(battery, Joules(), 0) is None


def test_a_profile_gives_all_constants() -> None:
    costs = Costs.of(load_profile("battery-sensor-hub-lte"))
    assert (costs.radio.tail_s, costs.radio.tail_w, costs.radio.promotion_j) == (10, 1, 0.31)
    assert costs.idle_w == 0.39
    assert costs.commit_j == 0.004
