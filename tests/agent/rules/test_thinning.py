"""Deadband, change and sample: which events go on, and what they say they stand for."""

from __future__ import annotations

from decimal import Decimal

from edgerules.series import START_NS, Desk, reading, rule, values
from whimbrel_agent.rules.marks import COUNT, FROM, RULE


def test_a_deadband_sends_what_differs_by_more_than_the_band() -> None:
    desk = Desk(rule("deadband", fields=["v"], band=0.5))
    found = desk.take_all([reading(v, n) for n, v in enumerate([10, 10.5, 10.2, 10.6, 10.1, 9.9])])
    assert values(found) == [10, 10.6, 9.9]
    assert [event.extensions[COUNT] for event in found] == [1, 3, 2]
    assert [event.extensions.get(FROM) for event in found] == [
        *(None, START_NS + 1_000_000_000, START_NS + 4_000_000_000),
    ]
    assert {event.extensions[RULE] for event in found} == {"r"}
    assert desk.figures()["suppressed"] == {"within-band": 3}


def test_a_deadband_in_percent_is_of_the_value_sent_last() -> None:
    desk = Desk(rule("deadband", fields=["v"], band_percent=10))
    assert values(desk.take_all([reading(v) for v in (100, 110, 111, 100, 0, 0.001)])) == [
        *(100, 111, 0, 0.001),
    ]


def test_any_of_several_fields_may_leave_the_band() -> None:
    desk = Desk(rule("deadband", fields=["v", "data.w"], band=1))
    events = [reading(0, w=0), reading(1, w=1), reading(1, w=1.5), reading(2, w=1.5)]
    assert values(desk.take_all(events)) == [0, 1]


def test_what_holds_no_number_goes_on_as_it_is_and_is_counted() -> None:
    desk = Desk(rule("deadband", fields=["v"], band=1))
    odd = [True, "5", None, float("nan"), float("inf"), [1], 2**70]
    assert len(desk.take_all([reading(v) for v in odd])) == len(odd)
    assert values(desk.take_all([reading(Decimal("1.5")), reading(2)])) == [Decimal("1.5")]
    figures = desk.figures()
    assert figures["passed_as_is"] == {"no-number": len(odd)}
    assert (figures["taken"], figures["passed"]) == (len(odd) + 2, len(odd) + 1)


def test_after_a_stated_silence_a_value_goes_on_in_any_case() -> None:
    desk = Desk(rule("deadband", fields=["v"], band=1, at_least_s=10))
    seconds = [
        event.time_ns - START_NS for event in desk.take_all([reading(0, n) for n in range(25)])
    ]
    assert [ns // 1_000_000_000 for ns in seconds] == [0, 10, 20]


def test_a_clock_that_was_wrong_silences_nothing() -> None:
    desk = Desk(rule("sample", period_s=60))
    future = reading(1, 10**9)
    assert desk.take(reading(0)) != []
    assert desk.take(future) != []
    assert values(desk.take_all([reading(2, 1), reading(3, 2), reading(4, 62)])) == [2, 4]


def test_change_sends_what_is_not_the_same_in_kind_and_value() -> None:
    desk = Desk(rule("change", fields=["v"]))
    given = ["on", "on", "off", 1, 1.0, True, True, None, None]
    assert values(desk.take_all([reading(v) for v in given])) == ["on", "off", 1, 1.0, True, None]


def test_change_without_fields_looks_at_all_of_data_whatever_its_order() -> None:
    desk = Desk(rule("change"))
    first, second = reading(1, a=1), reading(1, a=2)
    other_order = reading(1, a=2)
    other_order.data.clear()
    other_order.data.update({"a": 2, "v": 1})
    assert len(desk.take_all([first, first, second, other_order])) == 2


def test_sample_sends_one_of_so_many_or_one_in_so_long() -> None:
    desk = Desk(rule("sample", every=3))
    assert values(desk.take_all([reading(n, n) for n in range(8)])) == [0, 3, 6]
    desk = Desk(rule("sample", period_s=2.5))
    assert values(desk.take_all([reading(n, n) for n in range(8)])) == [0, 3, 6]


def test_each_source_is_a_series_of_its_own() -> None:
    desk = Desk(rule("change", fields=["v"]))
    events = [reading(1, source=name) for name in "aabb"]
    assert len(desk.take_all(events)) == 2
    together = Desk(rule("change", fields=["v"], key=[]))
    assert len(together.take_all(events)) == 1
    by_field = Desk(rule("change", fields=["v"], key=["source", "port"]))
    assert len(by_field.take_all([reading(1, port=p) for p in (1, 1, 2, "2", None)])) == 4
