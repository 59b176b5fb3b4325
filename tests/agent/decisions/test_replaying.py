"""Printed inputs are enough to make a decision again: promise 11."""

from __future__ import annotations

import json
import random

import pytest

from whimbrel_agent.decisions.journal import Decided, DecisionJournal
from whimbrel_agent.decisions.replaying import DECIDERS, decide_again, value_of
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.plain import plain
from whimbrel_agent.ports import LinkFailure
from whimbrel_agent.power.machine import PowerMachine
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.rules import ModeRules
from whimbrel_agent.uplink.backoff import Backoff
from whimbrel_agent.uplink.limits import LinkRules
from whimbrel_agent.uplink.radio import Radio, RadioPlan
from whimbrel_agent.uplink.window import Window


def printed(one: Decided) -> tuple[object, object]:
    """A decision and its inputs as a file with the JSON of ``explain`` has them."""
    decision, inputs = json.loads(json.dumps([plain(one.decision), plain(one.inputs)]))
    return decision, inputs


def made_again(journal: DecisionJournal, by: str, *, least: int) -> None:
    """Assert that there are decisions, and that each comes out of its printed inputs."""
    kept = [one for one in journal.last() if one.by == by]
    assert len(kept) >= least
    for one in kept:
        decision, inputs = printed(one)
        assert decide_again(by, inputs) == decision


def test_modes_of_a_battery_that_empties_and_is_charged() -> None:
    journal = DecisionJournal()
    machine = PowerMachine(ModeRules(shortest_runtime_s=1), journal)
    percents = [*range(100, 3, -1), *range(4, 100)]
    for number, percent in enumerate(percents):
        mains = number > len(percents) - 20
        reading = PowerReading(on_mains=mains, percent=percent, under_voltage=percent == 50)
        for look in range(4):
            machine.receive(reading, (number * 40 + look * 10) * 10**9)
    made_again(journal, "power", least=6)


def test_sessions_of_a_radio_under_a_random_load() -> None:
    journal, chance = DecisionJournal(), random.Random(3)
    radio, now_s = Radio(RadioPlan(30, tail_s=10.0, promotion_s=0.3), journal), 0.0
    for _ in range(400):
        now_s += chance.expovariate(0.3)
        if chance.random() < 0.3:
            radio.sealed(urgent=chance.random() < 0.2)
        else:
            wait_s = chance.uniform(0, 60)
            waiting = (Waiting(now_s + wait_s, wait_s, binding=chance.random() < 0.2),)
            radio.unsealed(waiting, now_s, came=True)
        if radio.decide(now_s).open and chance.random() < 0.5:
            radio.settled(now_s)
    made_again(journal, "radio", least=10)


def test_waits_after_failures() -> None:
    journal, chance = DecisionJournal(), random.Random(3)
    backoff = Backoff(2, chance, journal)
    for number in range(40):
        failure = chance.choice(list(LinkFailure))
        backoff.failed(number % 2, failure, lived_s=chance.uniform(0, 12), now_s=float(number))
    made_again(journal, "retry", least=16)


def test_the_class_of_each_link() -> None:
    journal = DecisionJournal()
    classes = (LinkRules(name="links.lte", interfaces=("wwan*",)), LinkRules())
    window = Window(max_bytes=10**6, max_frames=10, classes=classes, journal=journal)
    for now_s, interface in enumerate(["wwan0", "eth0", "", "wwan1"]):
        window.linked(0, interface, float(now_s))
    made_again(journal, "link class", least=4)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"now_ns": 1, "looked_ns": 0, "deadline_ns": None},
        {"now_ns": 1, "looked_ns": 0, "deadline_ns": None, "accepted": "yes"},
        {"now_ns": "1", "looked_ns": 0, "deadline_ns": None, "accepted": True},
    ],
)
def test_what_is_no_input_is_refused(inputs: object) -> None:
    with pytest.raises(ValueError, match=r"yes|'1'|fields"):
        decide_again("seal", inputs)


def test_infinite_moments_survive_print() -> None:
    for moment in (float("-inf"), float("inf"), 0.0, 7.5):
        assert value_of(float, json.loads(json.dumps(plain(moment)))) == moment


def test_every_decider_has_inputs_that_can_be_read() -> None:
    for by, function in DECIDERS.items():
        with pytest.raises(ValueError, match="fields"):
            decide_again(by, {"nothing": 1, "of": function.inputs.__name__})
