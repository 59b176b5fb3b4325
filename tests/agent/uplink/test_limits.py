"""What a link's rules say at a time of day and of month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from whimbrel_agent.uplink.limits import (
    DayLimit,
    LinkInputs,
    LinkRules,
    decide_class,
    wire_bytes,
)

WORK = DayLimit(8 * 60, 20 * 60, 1_000.0)
NIGHT = DayLimit(22 * 60, 6 * 60, 9_000.0)


def at(hour: int, minute: int = 0, *, day: int = 15, month: int = 7, year: int = 2026) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 10**9


def test_the_least_cap_that_holds_counts() -> None:
    rules = LinkRules(bytes_per_s=5_000, day_limits=(WORK, NIGHT))
    assert rules.cap_at(at(7, 59)).bytes_per_s == 5_000
    assert rules.cap_at(at(8)).bytes_per_s == 1_000
    assert rules.cap_at(at(20)).bytes_per_s == 5_000
    assert "08:00" in rules.cap_at(at(8)).reason


def test_a_cap_may_reach_past_midnight() -> None:
    rules = LinkRules(day_limits=(NIGHT,))
    caps = [rules.cap_at(at(hour)).bytes_per_s for hour in (21, 22, 0, 5, 6)]
    assert caps == [None, 9_000, 9_000, 9_000, None]


def test_the_hours_are_those_of_the_zone() -> None:
    rules = LinkRules(day_limits=(WORK,), zone=timezone(timedelta(hours=2)))
    assert rules.cap_at(at(6)).bytes_per_s == 1_000
    assert rules.cap_at(at(18)).bytes_per_s is None


def test_a_clock_that_lost_its_time_has_the_least_of_the_day() -> None:
    cap = LinkRules(day_limits=(WORK, NIGHT)).cap_at(0)
    assert cap.bytes_per_s == 1_000
    assert "clock" in cap.reason


def test_a_month_begins_on_its_day() -> None:
    rules = LinkRules(month_day=10)
    before, after = rules.period_at(at(23, day=9)), rules.period_at(at(0, day=10))
    assert after == before + 1
    assert rules.period_at(at(0, day=9, month=8)) == after
    assert rules.period_at(at(0, day=9, month=1, year=2027)) == after + 5
    assert rules.period_at(0) == 0


def test_the_first_class_that_fits_has_the_rules() -> None:
    lte = LinkRules(name="lte", interfaces=("wwan*", "ppp0"))
    second = LinkRules(name="second", brokers=frozenset({1}))
    own = LinkRules()
    classes = (lte, second, own)
    found = [
        decide_class(LinkInputs(tuple(one.fits for one in classes), broker, interface))
        for broker, interface in ((1, "wwan0"), (1, "eth0"), (0, ""))
    ]
    assert [classes[one.index] for one in found] == [lte, second, own]
    assert found[0].reason == "the first class that fits broker 1 and interface wwan0"
    assert found[2].reason == "no other class fits broker 0 and an interface not known"


def test_a_frame_takes_more_of_the_link_than_its_bytes() -> None:
    assert 16_000 * 1.03 < wire_bytes(16_000) < 16_000 * 1.07
