"""When windows open and close, whatever the clocks say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgerules.series import SECOND_NS, START_NS, Desk, at, reading, rule
from whimbrel_agent.rules.marks import COUNT
from whimbrel_agent.rules.values import Moment
from whimbrel_agent.rules.windows import MAX_OPEN, Open, Timing

WINDOW = rule("window", window_s=60, lateness_s=5, fields=["v"])


def counts(desk: Desk) -> list[int]:
    return [event.extensions[COUNT] for event in desk.close()]


def test_an_event_past_the_lateness_closes_a_window() -> None:
    desk = Desk(WINDOW)
    assert desk.take_all([reading(1, 20), reading(2, 59), reading(3, 60), reading(4, 59.5)]) == []
    (closed,) = desk.take(reading(5, 65))
    assert closed.data == {
        "count": 3, "v_min": 1, "v_max": 4, "v_mean": 7 / 3, "v_sum": 7, "v_last": 4,
    }  # fmt: skip
    assert closed.time_ns == START_NS + int(59.5 * SECOND_NS)


def test_a_window_closes_on_the_clock_when_nothing_more_comes() -> None:
    desk = Desk(WINDOW)
    desk.take(reading(1, 40))  # of the window that ends at 60
    assert desk.tick(64.9) == []
    assert [event.data["count"] for event in desk.tick(65)] == [1]
    assert desk.engine.next_deadline_ns() is None


@given(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62))
def test_no_clock_holds_a_window_open_for_longer_than_it_is(time_ns: int, wall_ns: int) -> None:
    opened = Timing(WINDOW).opened(time_ns, Moment(wall_ns, 7))
    assert opened.start_ns <= time_ns < opened.start_ns + 60 * SECOND_NS
    assert SECOND_NS <= opened.due_ns - 7 <= 65 * SECOND_NS


def test_an_event_from_the_future_opens_one_window_of_its_own() -> None:
    desk = Desk(WINDOW)
    desk.take(reading(1, 1), 1)
    assert len(desk.take(reading(9, 10**9), 2)) == 1  # by its time the first one is over
    desk.take(reading(2, 3), 3)  # opens it again
    assert [event.data["count"] for event in desk.tick(65)] == [1]
    assert [event.data["v_last"] for event in desk.tick(67)] == [9]
    assert desk.figures()["held"] == 0


def test_a_late_event_is_summed_up_on_its_own() -> None:
    desk = Desk(WINDOW)
    desk.take(reading(1, 30))
    assert len(desk.take(reading(2, 90))) == 1
    assert desk.take(reading(7, 31), 90) == []
    (late,) = desk.tick(91.1)
    assert (late.data["count"], late.data["v_last"]) == (1, 7)


def test_a_key_has_few_windows_open() -> None:
    desk = Desk(rule("window", window_s=1, lateness_s=3600, fields=["v"]))
    for second in range(MAX_OPEN):
        assert desk.take(reading(second, second)) == []
    (closed,) = desk.take(reading(9, 100))
    assert closed.data["v_last"] == 0
    assert len(counts(desk)) == MAX_OPEN


def test_a_window_keeps_the_least_and_the_greatest_time() -> None:
    window = Open(0, 0)
    for time_ns in (5, 3, 9, 4):
        window = window.taking(time_ns, None)
    assert (window.count, window.first_ns, window.last_ns) == (4, 3, 9)


def test_at_gives_both_clocks() -> None:
    assert at(1).wall_ns - START_NS == SECOND_NS
