"""All rules over all series: accounts, bounds, restarts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerules.series import Desk, at, reading, rule, values
from whimbrel_agent.rules.engine import Batch, Engine
from whimbrel_agent.rules.marks import count_of
from whimbrel_agent.rules.staterows import DefinitionRow, RuleRow, StateRow, pack_row, unpack_row
from whimbrel_agent.rules.values import RuleConfig
from whimbrel_protocol.event import Event, validate_event

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("deadband", {"fields": ["v"], "band": 1}),
    ("change", {}),
    ("sample", {"every": 4}),
    ("sample", {"period_s": 7, "at_least_s": 50}),
    ("window", {"fields": ["v"], "window_s": 10}),
    ("window", {"window_s": 3, "lateness_s": 0, "key": []}),
    ("swinging-door", {"fields": ["v"], "band": 1, "hold_s": 20}),
    ("top-k", {"by": "v", "k": 2, "window_s": 10}),
    ("pass", {}),
]
some_events = st.lists(
    st.builds(
        reading,
        st.one_of(st.integers(-3, 3), st.just("odd"), st.just(True)),
        st.one_of(st.floats(0, 60), st.floats(0, 1e7)),
        source=st.sampled_from(["a", "b", "c"]),
    ),
    max_size=40,
)


@given(some_events, st.sampled_from(KINDS))
def test_every_raw_event_is_in_exactly_one_count(
    events: list[Event], kind: tuple[str, dict[str, Any]]
) -> None:
    desk = Desk(rule(kind[0], **kind[1]))
    sent: list[Event] = []
    for number, event in enumerate(events):
        sent += desk.take(event, number)
        sent += desk.tick(number)
    figures = desk.figures()
    assert figures["taken"] == len(events)
    assert figures["taken"] == figures["passed"] + sum(figures["suppressed"].values())
    assert len(sent) == figures["passed"] + figures["sent"]
    assert sum(count_of(event.extensions) for event in sent) + figures["held"] == len(events)
    for event in sent:
        validate_event(event)


def rows_of(batch: Batch, rows: dict[int, RuleRow]) -> None:
    """Apply a batch's rows as the store does, through their bytes."""
    for row_id, row in batch.rows():
        if row is None:
            rows.pop(row_id, None)
        else:
            again = unpack_row(pack_row(row))
            assert again is not None
            rows[row_id] = again


@given(some_events, st.sampled_from(KINDS), st.integers(1, 5))
def test_a_restart_between_any_two_events_changes_nothing(
    events: list[Event], kind: tuple[str, dict[str, Any]], every: int
) -> None:
    config = rule(kind[0], **kind[1])
    steady, restarted = Engine([config]), Engine([config])
    rows: dict[int, RuleRow] = {1: DefinitionRow("r", config)}
    restarted.next_id = 2
    for number, event in enumerate(events):
        if number % every == 0:
            restarted = Engine([config])
            left = restarted.restore(sorted(rows.items()), at(number))
            assert (left.held, left.rows, left.new) == ([], [], [])
        answers = []
        for engine in (steady, restarted):
            batch = Batch(engine, at(0))  # the clock stands: deadlines count from a restart
            answers.append(batch.take(0, event))
            if engine is restarted:
                rows_of(batch, rows)
            engine.adopt(batch)
        assert answers[0].sent == answers[1].sent
        assert (answers[0].passed, answers[0].reason) == (answers[1].passed, answers[1].reason)
    assert steady.rules[0].figures() == restarted.rules[0].figures()


def test_the_first_rule_that_wants_an_event_takes_it() -> None:
    first = RuleConfig(name="first", when="data.v > 5", do="filter")
    desk = Desk(first, rule("pass"))
    assert values(desk.take_all([reading(4), reading(6)])) == [4]
    assert desk.figures("first")["suppressed"] == {"filtered": 1}
    assert desk.figures()["taken"] == 1


def test_no_rule_takes_from_the_critical_lane() -> None:
    desk = Desk(rule("filter"))
    assert len(desk.take_all([reading(1, lane=name) for name in ("critical", "high", "bulk")])) == 1


def test_the_least_recently_used_series_goes_and_what_it_held_is_sent() -> None:
    desk = Desk(rule("window", max_keys=2))
    desk.take_all([reading(1, 0, source=name) for name in ("a", "b", "a")])
    (sent,) = desk.take(reading(1, 0, source="c"))
    assert (sent.source, sent.data["count"]) == ("b", 1)
    assert (desk.figures()["evicted"], desk.figures()["series"]) == (1, 2)


def test_one_batch_of_many_new_series_stays_within_the_bound() -> None:
    engine = Engine([rule("window", max_keys=3)])
    batch = Batch(engine, at(0))
    sent = [event for n in range(10) for event in batch.take(0, reading(1, 0, source=f"s{n}")).sent]
    engine.adopt(batch)
    assert len(engine.rules[0].series) == 3
    assert [event.source for event in sent] == [f"s{n}" for n in range(7)]


def test_a_series_that_goes_and_comes_in_one_batch_leaves_one_row() -> None:
    config = rule("window", max_keys=1)
    engine = Engine([config])
    rows: dict[int, RuleRow] = {}
    for names in ("a", "bab", "ab"):
        batch = Batch(engine, at(0))
        for name in names:
            batch.take(0, reading(1, 0, source=name))
        rows_of(batch, rows)
        engine.adopt(batch)
        keys = [row.key for row in rows.values() if isinstance(row, StateRow)]
        assert keys == list(engine.rules[0].series)


def test_a_batch_that_is_dropped_changed_nothing() -> None:
    desk = Desk(rule("window"))
    desk.take(reading(1, 0))
    before = desk.figures()
    batch = Batch(desk.engine, at(1))
    batch.take(0, reading(1, 1))
    batch.take(0, reading(1, 1, source="other"))
    assert desk.figures() == before
    assert [event.data["count"] for event in desk.close()] == [1]


def test_deadlines_come_in_order_and_move_with_their_series() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=1, hold_s=10))
    desk.take_all([reading(1, 0, source=name) for name in "ab"])
    desk.take_all([reading(1, 1, source="a"), reading(1, 2, source="b")])
    assert desk.engine.next_deadline_ns() == at(11).mono_ns
    desk.take(reading(1, 9, source="a"))
    assert [event.source for event in desk.tick(12)] == ["b"]
    assert desk.engine.next_deadline_ns() == at(19).mono_ns


def test_due_series_stay_due_until_their_closing_is_durable() -> None:
    desk = Desk(rule("window", window_s=10))
    desk.take(reading(1, 0))
    assert len(desk.engine.series_due(at(60))) == 1
    assert len(desk.engine.series_due(at(60))) == 1
    assert len(desk.tick(60)) == 1


@pytest.mark.parametrize("now", [[], [rule("window", window_s=20)]])
def test_a_rule_that_is_gone_or_another_gives_up_what_it_held(now: list[RuleConfig]) -> None:
    old = rule("window", window_s=10)
    engine = Engine([old])
    engine.next_id = 2
    rows: dict[int, RuleRow] = {1: DefinitionRow("r", old)}
    batch = Batch(engine, at(0))
    batch.take(0, reading(1, 0))
    rows_of(batch, rows)
    left = Engine(now).restore(sorted(rows.items()), at(5))
    ((row_id, (event,)),) = left.held
    assert event.data == {"count": 1}
    assert sorted([row_id, *left.rows]) == [1, 2, 3]
    assert left.new == now
