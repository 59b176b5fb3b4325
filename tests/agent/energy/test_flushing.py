"""When to flush: each rule of the decision, and what it never does."""

from __future__ import annotations

import random

import pytest

from whimbrel_agent.energy.flushing import (
    FlushInputs,
    SessionBudget,
    Waiting,
    decide_flush,
    tail_pays,
)

NOW = 1000.0
FAR = Waiting(1200.0, 300.0)
NEAR = Waiting(1004.0, 5.0)


def inputs(*waiting: Waiting, last: float | None = None, tail: float = 10.0) -> FlushInputs:
    return FlushInputs(NOW, waiting, last_use_s=last, tail_s=tail)


def test_nothing_waits_so_nothing_is_planned() -> None:
    decision = decide_flush(inputs())
    assert decision.flush_s is None
    assert not decision.due(1e9)


def test_a_far_deadline_is_waited_for_even_in_a_young_tail() -> None:
    decision = decide_flush(inputs(FAR, last=NOW - 1))
    assert decision.flush_s == 1200.0
    assert "far beyond the radio's tail" in decision.reason
    assert decision.due(1200.0)
    assert not decision.due(1199.9)


def test_a_near_deadline_goes_at_once_in_a_young_tail_only() -> None:
    young = decide_flush(inputs(NEAR, last=NOW - 5.6))
    assert (young.flush_s, young.reason) == (NOW, "the radio is awake from the last use anyway")
    assert decide_flush(inputs(NEAR, last=NOW - 5.8)).flush_s == 1004.0
    assert decide_flush(inputs(NEAR)).flush_s == 1004.0


def test_the_earliest_deadline_decides_for_all() -> None:
    assert decide_flush(inputs(FAR, NEAR)).flush_s == 1004.0


@pytest.mark.parametrize(
    ("allowed_s", "gap_s", "pays"),
    [
        # as measured with whole days of random items, see the simulators' page
        (15, 5, True), (30, 5, False), (40, 5, False), (40, 20, True), (120, 20, False),
        (80, 60, True), (300, 60, False), (120, 300, True),
        # the limits: items without end, and hardly any
        (5, 1e-6, True), (15, 1e-6, False), (15, 0.0, False), (1000, 1e6, True),
        # without knowledge five tails decide
        (50, None, True), (51, None, False),
    ],
)  # fmt: skip
def test_a_young_tail_is_used_where_that_costs_less(
    allowed_s: float, gap_s: float | None, pays: bool
) -> None:
    assert tail_pays(allowed_s, 10.0, gap_s) is pays


def test_how_often_items_come_changes_the_decision() -> None:
    soon = Waiting(NOW + 40, 40.0)
    often, seldom = (
        decide_flush(FlushInputs(NOW, (soon,), last_use_s=NOW, tail_s=10, arrival_gap_s=gap_s))
        for gap_s in (5.0, 60.0)
    )
    assert (often.flush_s, seldom.flush_s) == (NOW + 40, NOW)


def test_without_a_tail_the_deadline_is_waited_for() -> None:
    decision = decide_flush(inputs(NEAR, last=NOW, tail=0.0))
    assert (decision.flush_s, "no tail" in decision.reason) == (1004.0, True)


def test_the_lead_is_taken_off_the_deadline() -> None:
    early = FlushInputs(NOW, (NEAR,), tail_s=10, lead_s=0.5)
    assert decide_flush(early).flush_s == 1003.5
    late = FlushInputs(NOW, (Waiting(NOW + 0.1, 5.0),), tail_s=10, lead_s=0.5)
    assert decide_flush(late).flush_s == NOW


def test_a_budget_postpones_what_is_not_binding() -> None:
    budget = SessionBudget(2, NOW - 1000)
    loose = Waiting(NOW + 60, 300.0, binding=False)
    decision = decide_flush(FlushInputs(NOW, (loose,), tail_s=10, sessions=budget))
    assert decision.flush_s == NOW - 1000 + 1800
    assert "2 sessions an hour" in decision.reason
    bound = decide_flush(FlushInputs(NOW, (loose, FAR), tail_s=10, sessions=budget))
    assert (bound.flush_s, "binding" in bound.reason) == (FAR.deadline_s, True)


def test_a_budget_binds_while_the_radio_is_awake_too() -> None:
    budget = SessionBudget(1, NOW - 8)
    loose = Waiting(NOW + 1, 300.0, binding=False)
    awake = FlushInputs(NOW, (loose,), last_use_s=NOW - 8, tail_s=10, sessions=budget)
    assert decide_flush(awake).flush_s == NOW - 8 + 3600  # else many of them never let it sleep


def test_a_budget_with_room_changes_nothing() -> None:
    for budget in (SessionBudget(), SessionBudget(3), SessionBudget(3, NOW - 1200)):
        decision = decide_flush(FlushInputs(NOW, (FAR,), tail_s=10, sessions=budget))
        assert decision.flush_s == FAR.deadline_s


@pytest.mark.parametrize("seed", range(5))
def test_no_binding_deadline_is_ever_planned_past(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(2000):
        waiting = [
            Waiting(NOW + source.uniform(-5, 400), source.uniform(1, 400), source.random() < 0.5)
            for _ in range(source.randrange(1, 5))
        ]
        opened_s = source.choice([None, NOW - source.uniform(0, 4000)])
        asked = FlushInputs(
            NOW,
            waiting,
            last_use_s=source.choice([None, NOW - source.uniform(0, 30)]),
            tail_s=source.choice([0.0, 0.22, 10.0]),
            lead_s=source.choice([0.0, 0.4]),
            sessions=SessionBudget(source.randrange(4), opened_s),
        )
        decision = decide_flush(asked)
        assert decision.flush_s is not None
        assert decision.flush_s >= NOW
        for one in waiting:
            if one.binding:
                assert decision.flush_s <= max(NOW, one.deadline_s - asked.lead_s), asked
