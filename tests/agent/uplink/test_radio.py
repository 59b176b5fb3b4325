"""Sessions of the radio: few for what can wait, at once for what cannot."""

from __future__ import annotations

import random

from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.uplink.radio import SETTLE_S, TRANSFER_S, Radio, RadioPlan, decide_radio

FRUGAL = RadioPlan(sessions_per_h=4, stay_connected=False)


def rested(plan: RadioPlan = FRUGAL) -> Radio:
    """A radio whose first session is over at second 0."""
    radio = Radio(plan)
    assert radio.decide(-SETTLE_S).open
    radio.settled(-SETTLE_S)
    assert not radio.decide(0.0).open
    return radio


def test_without_a_limit_it_is_always_on() -> None:
    radio = Radio()
    radio.settled(0.0)
    assert radio.decide(1e6).open
    assert radio.sessions == 0


def test_a_new_process_opens_one_since_it_knows_nothing_yet() -> None:
    assert Radio(FRUGAL).decide(0.0).open


def test_what_can_wait_waits_for_the_next_session() -> None:
    radio = rested()
    radio.sealed(urgent=False)
    early = radio.decide(10.0)
    assert (early.open, early.look_s) == (False, 900.0 - SETTLE_S)
    assert early.words(10.0).endswith("4 sessions an hour is not due yet, 888 s from now")
    assert radio.decide(900.0).open


def test_what_is_urgent_does_not_wait() -> None:
    radio = rested()
    radio.sealed(urgent=False)
    assert not radio.decide(10.0).open
    radio.sealed(urgent=True)
    now = radio.decide(11.0)
    assert now.open
    assert "urgent" in now.reason


def test_it_rests_while_nothing_waits() -> None:
    radio = rested()
    late = radio.decide(1e5)
    assert (late.open, late.look_s) == (False, None)


def test_a_session_ends_a_moment_after_the_last_receipt() -> None:
    radio = rested()
    radio.sealed(urgent=True)
    assert radio.decide(5.0).open
    assert radio.decide(60.0).open  # a slow link
    radio.settled(61.0)
    still = radio.decide(61.0)
    assert (still.open, still.look_s) == (True, 61.0 + SETTLE_S)
    radio.sealed(urgent=False)  # goes along
    assert radio.decide(61.0 + SETTLE_S).open
    radio.settled(64.0)
    assert not radio.decide(64.0 + SETTLE_S).open


def test_what_was_under_way_ends_as_a_session_when_a_limit_comes() -> None:
    radio = Radio()
    radio.sealed(urgent=False)
    radio.use(FRUGAL)
    assert radio.decide(0.0).open
    radio.settled(1.0)
    assert not radio.decide(1.0 + SETTLE_S).open


def test_the_limit_holds_for_any_load_that_can_wait() -> None:
    chance = random.Random(4)
    radio, now_s = rested(), 0.0
    while now_s < 24 * 3600:
        now_s += chance.expovariate(1 / 30)
        radio.sealed(urgent=False)
        if radio.decide(now_s).open:
            radio.settled(now_s)
            radio.decide(now_s + SETTLE_S)
    assert radio.sessions <= 24 * 4 + 1


def sensor_hub(sessions_per_h: float = 3600) -> Radio:
    """A rested radio with LTE's tail, as good as without a budget."""
    return rested(RadioPlan(sessions_per_h=sessions_per_h, tail_s=10.0, promotion_s=0.3))


def test_a_session_begins_so_early_that_the_deadline_is_met() -> None:
    radio = sensor_hub()
    radio.unsealed((Waiting(160.0, 60.0),), 100.0, came=True)
    early = radio.decide(100.0)
    assert (early.open, early.look_s) == (False, 160.0 - 0.3 - TRANSFER_S)
    begun = radio.decide(159.6)
    assert (begun.open, begun.take_along) == (True, True)
    assert radio.decide(159.6).take_along is False  # it is told once


def test_a_young_tail_takes_what_is_due_soon_along() -> None:
    near = (Waiting(9.0, 5.0),)
    young, old = sensor_hub(), sensor_hub()  # used last when all had settled, SETTLE_S before 0
    young.unsealed(near, 3.6, came=True)
    assert young.decide(3.6).take_along
    old.unsealed(near, 3.8, came=True)
    assert old.decide(3.8).open is False


def test_what_comes_due_while_a_session_is_open_extends_it() -> None:
    radio = sensor_hub()
    radio.sealed(urgent=True)
    assert radio.decide(50.0).take_along
    radio.settled(51.0)
    radio.unsealed((Waiting(52.0, 2.0),), 51.5, came=True)
    goes_on = radio.decide(51.5)
    assert (goes_on.open, goes_on.take_along) == (True, True)
    assert goes_on.reason.startswith("session goes on")
    assert radio.sessions == 2


def test_the_modes_budget_holds_for_what_waits_in_the_buffer() -> None:
    radio = sensor_hub(sessions_per_h=4)
    radio.unsealed((Waiting(60.0, 60.0, binding=False),), 1.0, came=True)
    assert radio.decide(100.0).look_s == 900.0 - SETTLE_S


def test_the_same_inputs_give_the_same_decision() -> None:
    radio = sensor_hub()
    radio.sealed(urgent=False)
    inputs = radio.inputs(20.0)
    assert decide_radio(inputs) == decide_radio(inputs) == radio.decide(20.0)


def test_what_was_told_before_it_was_always_on_is_forgotten() -> None:
    radio = sensor_hub()
    plan = radio.plan
    radio.unsealed((Waiting(60.0, 60.0),), 1.0, came=True)
    radio.use(RadioPlan())
    assert radio.decide(50.0).open
    radio.use(plan)
    radio.settled(100.0)
    assert radio.decide(100.0 + SETTLE_S).reason == "the radio rests: nothing waits"
