"""What a window's event says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edgerules.series import START_NS, Desk, reading, rule
from whimbrel_agent.rules.marks import COUNT, FROM, RULE
from whimbrel_protocol.event import validate_event


def test_it_carries_what_its_raw_events_share() -> None:
    desk = Desk(rule("window", window_s=60, fields=["v"], stats=["max"]))
    desk.take_all([replace(reading(n, 20 + n), zone="cold", subject="x") for n in range(3)])
    (event,) = desk.close()
    validate_event(event)
    assert (event.type, event.source, event.zone, event.subject, event.lane) == (
        *("t.window", "s", "cold", "x", "normal"),
    )
    assert event.data == {"count": 3, "v_max": 2}
    assert event.extensions == {RULE: "r", COUNT: 3, FROM: START_NS + 20 * 10**9}


def test_where_they_differ_it_says_nothing() -> None:
    desk = Desk(rule("window", key=[], fields=["v"], type="sum", lane="bulk"))
    desk.take(replace(reading(1, source="a"), zone="cold"))
    desk.take(replace(reading(2, source="b"), zone="warm"))
    (event,) = desk.close()
    assert (event.type, event.source, event.zone, event.lane) == (
        "sum",
        "edge-rule/r",
        None,
        "bulk",
    )


def test_last_is_by_time_not_by_arrival() -> None:
    desk = Desk(rule("window", fields=["v"]))
    desk.take_all([reading(1, 30), reading(2, 40), reading(3, 35)])
    (event,) = desk.close()
    assert event.data["v_last"] == 2


def test_several_fields_and_none() -> None:
    desk = Desk(rule("window", fields=["v", "deep.w"], stats=["mean"]))
    desk.take_all([reading(1, deep={"w": 10}), reading(2, deep={"w": Decimal(20)})])
    assert desk.close()[0].data == {"count": 2, "v_mean": 1.5, "w_mean": 15}
    counting = Desk(rule("window"))
    counting.take_all([reading("x"), reading(None)])
    assert counting.close()[0].data == {"count": 2}


def test_sums_stay_whole_or_finite() -> None:
    desk = Desk(rule("window", fields=["v"]))
    desk.take_all([reading(2**62), reading(2**62), reading(1)])
    (event,) = desk.close()
    assert event.data["v_sum"] == float(2**63)
    validate_event(event)
    desk.take_all([reading(1.7e308), reading(1.7e308)])
    (event,) = desk.close()
    assert event.data["v_sum"] == 1.797e308


def test_a_long_type_does_not_become_too_long() -> None:
    desk = Desk(rule("window", when="has(data.v)"))
    desk.take(replace(reading(1), type="é" * 128))
    (event,) = desk.close()
    validate_event(event)
    assert event.type == "edge.window"
