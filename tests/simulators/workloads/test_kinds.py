"""Values that somebody who knows shops would believe."""

from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from whimbrel_protocol.event import Event, validate_event
from whimbrel_sim.workloads import KINDS, ORDINARY, StoreDay
from whimbrel_sim.workloads.storeday import START_NS

DAY_NS = 86_400 * 10**9


@cache
def events_of(name: str) -> tuple[Event, ...]:
    store_day = StoreDay(3, counts={name: KINDS[name].count})
    return tuple(store_day.events(2 * 86_400))


def hour(event: Event) -> int:
    return (event.time_ns - START_NS) % DAY_NS // (3_600 * 10**9)


@pytest.mark.parametrize("name", KINDS)
def test_events_are_valid_and_in_time_order(name: str) -> None:
    events = events_of(name)
    for event in events:
        validate_event(event)
        assert event.zone == KINDS[name].zone
        assert set(KINDS[name].telling) <= set(event.data)
    assert all(one.time_ns <= other.time_ns for one, other in pairwise(events))
    assert events[0].time_ns >= START_NS
    assert len({event.source for event in events}) == KINDS[name].count


@pytest.mark.parametrize("name", ["till", "shelf", "door", "counter", "screen"])
def test_what_people_cause_happens_while_the_store_is_open(name: str) -> None:
    assert all(ORDINARY.is_open(event.time_ns // 10**6) for event in events_of(name))


@pytest.mark.parametrize("name", ["fridge", "battery", "room"])
def test_sensors_report_all_day(name: str) -> None:
    assert set(map(hour, events_of(name))) == set(range(24))


@pytest.mark.parametrize("name", ["till", "counter", "shelf"])
def test_noon_and_evening_are_busy(name: str) -> None:
    by_hour = Counter(map(hour, events_of(name)))
    assert by_hour[12] > 1.5 * by_hour[14]
    assert by_hour[18] > 1.5 * by_hour[14]


def test_baskets_have_about_six_lines_and_few_are_voided() -> None:
    events = events_of("till")
    lines = Counter(event.data["basket"] for event in events if event.type == "pos.line")
    assert 4 < sum(lines.values()) / len(lines) < 8
    voids = [event for event in events if event.type == "pos.void"]
    assert 0.003 < len(voids) / len(events) < 0.03
    last: dict[str, Event] = {}
    for event in events:
        if event.type == "pos.void" and event.source in last:
            assert event.data["sku"] == last[event.source].data["sku"]
            assert event.data["quantity"] == -last[event.source].data["quantity"]
        last[event.source] = event
    assert all(0 < event.data["price"] < 40 for event in events)
    assert len({event.data["cashier"] for event in events}) > 3


def test_fridges_keep_near_their_set_point_and_defrost_now_and_then() -> None:
    events = events_of("fridge")
    above = [event.data["temperature"] - event.data["set_point"] for event in events]
    assert min(above) > -2.5
    assert max(above) < 7
    assert abs(sum(above) / len(above)) < 1.5
    assert 0.04 < sum(event.data["defrost"] for event in events) / len(events) < 0.2


def test_rooms_are_warmer_and_fuller_by_day() -> None:
    events = events_of("room")
    day = [event.data for event in events if 12 <= hour(event) < 20]
    night = [event.data for event in events if 3 <= hour(event) < 8]
    for name in ("temperature", "co2"):
        assert sum(d[name] for d in day) / len(day) > sum(d[name] for d in night) / len(night)
    assert all(12 < event.data["temperature"] < 28 for event in events)
    assert all(30 < event.data["humidity"] < 60 for event in events)
    assert all(300 < event.data["co2"] < 1_100 for event in events)


def test_shelves_hold_what_they_can_and_scales_say_so() -> None:
    for event in events_of("shelf"):
        assert 0 <= event.data["units"] <= 60
        assert event.data["weight_g"] >= -3
    assert any(event.data["filled"] for event in events_of("shelf"))


def test_doors_open_and_close_in_turn() -> None:
    first = [event for event in events_of("door") if event.source == "door-1"]
    assert all(one.data["open"] != other.data["open"] for one, other in pairwise(first))


def test_counters_add_up() -> None:
    first = [event for event in events_of("counter") if event.source == "counter-1"]
    for one, other in pairwise(first):
        total = f"total_{other.data['way']}"
        assert other.data[total] - one.data[total] == other.data["people"]


def test_screens_play_their_list_and_seldom_fail() -> None:
    events = events_of("screen")
    outcomes = Counter(event.data["outcome"] for event in events)
    assert outcomes["played"] > 0.97 * len(events)
    assert outcomes["failed"] > 0
    first = [event.data["spot"] for event in events if event.source == "screen-1"]
    assert first[:24] == first[24:48]


def test_batteries_are_between_empty_and_full() -> None:
    for event in events_of("battery"):
        assert 2_350 < event.data["millivolts"] < 3_150
        assert -120 < event.data["rssi_dbm"] < -30
