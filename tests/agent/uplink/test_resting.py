"""A session whose radio rests between flushes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.decisions.replaying import decide_again
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.plain import plain
from whimbrel_agent.uplink.figures import LinkState
from whimbrel_agent.uplink.radio import SETTLE_S, TRANSFER_S, RadioPlan
from whimbrel_agent.uplink.values import EventsWait, UseRadio
from worlds.uplink import World

LETTING_GO = RadioPlan(sessions_per_h=4, stay_connected=False)
HOLDING = RadioPlan(sessions_per_h=4, stay_connected=True)


def resting_world(plan: RadioPlan) -> World:
    world = World()
    world.run(10.0)
    world.give(UseRadio(plan))
    world.run(10.0)
    return world


def state(world: World) -> LinkState:
    return world.session.figures(world.now).link


def test_it_lets_go_of_the_link_when_all_is_settled() -> None:
    world = resting_world(LETTING_GO)
    assert state(world) is LinkState.DOWN
    assert world.session.counts["links_rested"] == 1
    connects = len(world.connects)
    world.run(12 * 3600)
    assert len(world.connects) == connects  # nothing waits: nothing is asked, either
    assert "rests" in world.session.figures(world.now).doing


def test_what_can_wait_goes_in_few_sessions_and_all_of_it() -> None:
    world = resting_world(LETTING_GO)
    connects = len(world.connects)
    for _ in range(6 * 60):
        world.seal()
        world.run(60.0)
    world.run(1200.0)
    assert world.buffer.frames == {}
    made = world.connects[connects:]
    assert 20 <= len(made) <= 26  # six hours of four
    assert all(later[0] - sooner[0] >= 899 for sooner, later in pairwise(made))
    assert world.session.counts["resumes_sent"] <= len(made) + 1
    assert state(world) is LinkState.DOWN


def test_what_is_urgent_goes_at_once_and_takes_the_rest_along() -> None:
    world = resting_world(LETTING_GO)
    world.run(1000.0)
    world.seal()
    world.run(1.0)
    opened = world.taken_along
    world.run(300.0)
    world.seal()
    world.run(1.0)
    assert len(world.buffer.frames) == 1
    world.seal("critical")
    world.run(2.0)
    assert world.buffer.frames == {}
    assert world.taken_along == opened + 1


def test_a_held_link_stays_up_and_sends_only_in_sessions() -> None:
    world = resting_world(HOLDING)
    connects = len(world.connects)
    sent: list[float] = []
    for _ in range(120):
        world.seal()
        before = len(world.sent)
        world.run(61.0)  # so that no session begins just when something is sealed
        sent += [world.now_s] if len(world.sent) > before else []
    assert len(world.connects) == connects
    assert state(world) is LinkState.UP
    assert 7 <= len(sent) <= 9


def test_back_on_mains_everything_goes_at_once_again() -> None:
    world = resting_world(LETTING_GO)
    world.seal()
    world.run(10.0)
    world.seal(count=3)
    world.run(10.0)
    world.give(UseRadio(RadioPlan()))
    world.run(5.0)
    assert world.buffer.frames == {}
    world.run(3600.0)
    assert state(world) is LinkState.UP


def test_a_session_over_a_bad_link_goes_on_until_all_is_settled() -> None:
    world = resting_world(LETTING_GO)
    world.run(1000.0)
    world.network_up = False
    world.seal(count=5)
    world.run(600.0)
    world.network_up = True
    world.run(600.0)
    assert world.buffer.frames == {}
    world.run(SETTLE_S + 1.0)
    assert state(world) is LinkState.DOWN


def test_what_waits_to_be_sealed_begins_a_session_in_time_for_its_deadline() -> None:
    world = resting_world(RadioPlan(60, stay_connected=False, tail_s=10.0, promotion_s=0.3))
    world.run(100.0)
    opened, connects = world.taken_along, len(world.connects)
    deadline_s = world.now_s + 300.0
    world.give(EventsWait((Waiting(deadline_s, 300.0, binding=False),), came=True))
    world.run(299.0)
    assert (world.taken_along, len(world.connects)) == (opened, connects)
    world.run(0.9)  # the promotion and the transfer before it
    assert world.taken_along == opened + 1
    (connected,) = world.connects[connects:]
    assert connected[0] == pytest.approx(deadline_s - 0.3 - TRANSFER_S)
    world.run(60.0)
    assert state(world) is LinkState.DOWN


def test_every_decision_of_a_session_can_be_made_again() -> None:
    world = World(journal=DecisionJournal())
    world.run(10.0)
    world.give(UseRadio(HOLDING))
    for _ in range(30):
        world.seal(count=5)
        world.seal("critical")
        world.run(300.0)
        if world.linked:
            world.cut()
    kept = world.journal.last()
    assert {one.by for one in kept} >= {"radio", "send", "link class", "retry"}
    for one in kept:
        decision, inputs = json.loads(json.dumps([plain(one.decision), plain(one.inputs)]))
        assert decide_again(one.by, inputs) == decision
