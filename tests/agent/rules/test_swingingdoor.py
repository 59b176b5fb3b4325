"""The swinging door: its promise about every value that is not sent."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from edgerules.series import START_NS, Desk, reading, rule, values
from whimbrel_agent.rules.marks import COUNT, FROM
from whimbrel_protocol.event import Event

numbers = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(-1e9, 1e9),
    st.floats(-5, 5),
    st.sampled_from([0.1, 0.2, 0.30000000000000004, 1e-300, 1e15]),
)
walks = st.lists(
    st.tuples(st.floats(0.001, 100), st.one_of(numbers, st.floats(-1, 1))),
    min_size=1,
    max_size=60,
)


def line_at(left: Event, right: Event, time_ns: int, field: str = "v") -> Fraction:
    first, last = Fraction(left.data[field]), Fraction(right.data[field])
    return first + (last - first) * (time_ns - left.time_ns) / (right.time_ns - left.time_ns)


def worst(raw: list[Event], kept: list[Event], field: str = "v") -> Fraction:
    """The greatest distance of a raw value from the line between the values sent, exactly."""
    found = Fraction(0)
    for left, right in itertools.pairwise(kept):
        for event in raw:
            if left.time_ns <= event.time_ns <= right.time_ns:
                away = abs(line_at(left, right, event.time_ns, field) - Fraction(event.data[field]))
                found = max(found, away)
    return found


@given(walks, st.sampled_from([1e-6, 0.1, 0.5, 3.0, 1e6]))
def test_no_value_differs_from_the_line_by_more_than_the_band(
    walk: list[tuple[float, float]], band: float
) -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=band))
    second, raw = 0.0, []
    for wait, value in walk:
        raw.append(reading(value, second))
        second += wait
    kept = desk.take_all(raw) + desk.close()
    assert (kept[0].time_ns, kept[-1].time_ns) == (raw[0].time_ns, raw[-1].time_ns)
    assert worst(raw, kept) <= Fraction(band)
    assert sum(event.extensions[COUNT] for event in kept) == len(raw)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=40))
def test_it_holds_for_every_field_at_once(pairs: list[tuple[float, float]]) -> None:
    desk = Desk(rule("swinging-door", fields=["v", "w"], band=0.5))
    raw = [reading(v, n, w=w) for n, (v, w) in enumerate(pairs)]
    kept = desk.take_all(raw) + desk.close()
    assert max(worst(raw, kept), worst(raw, kept, "w")) <= Fraction(1, 2)


def test_straight_lines_are_sent_as_their_ends() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=0.1, hold_s=3600))
    up = [reading(n / 7, n) for n in range(1000)]
    down = [reading((2000 - n) / 7, n) for n in range(1000, 2000)]
    kept = desk.take_all(up + down) + desk.close()
    assert len(kept) == 3
    assert kept[1].extensions[COUNT] == 1000
    assert kept[1].extensions[FROM] == up[1].time_ns


def test_a_slow_wave_becomes_a_few_per_cent() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=0.25))
    raw = [reading(5 + 3 * math.sin(n / 600), n) for n in range(20_000)]
    kept = desk.take_all(raw) + desk.close()
    assert len(kept) < len(raw) / 50
    assert worst(raw[:2000], kept[:30]) <= Fraction(1, 4)


def test_the_value_held_is_sent_when_no_other_comes() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=1, hold_s=60))
    assert values(desk.take(reading(5, 0))) == [5]
    assert desk.take(reading(5.5, 1)) == []
    assert desk.tick(60.9) == []
    assert values(desk.tick(61)) == [5.5]
    assert desk.tick(1000) == []
    assert desk.take(reading(5.6, 1001)) == []


def test_a_step_back_in_time_ends_the_line() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=1))
    kept = desk.take_all([reading(1, 10), reading(1, 20), reading(1, 5), reading(1, 6)])
    assert [(event.time_ns - START_NS) // 10**9 for event in kept] == [10, 20, 5]


def test_a_line_is_no_longer_than_stated() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=1, at_least_s=10))
    kept = desk.take_all([reading(0, n) for n in range(25)])
    assert len(kept) == 5  # 0, then 9 and 10, 19 and 20


def test_what_it_cannot_hold_goes_on_as_it_is() -> None:
    desk = Desk(rule("swinging-door", fields=["v"], band=1))
    assert len(desk.take(reading("warm"))) == 1
    assert len(desk.take(reading(1, note="x" * 2000))) == 1
    assert desk.figures()["passed_as_is"] == {"no-number": 1, "too-large": 1}
