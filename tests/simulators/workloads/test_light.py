import lzma
import sys
from itertools import pairwise
from random import Random

import pytest

from whimbrel_sim.workloads.light import LightDevice, light_devices, light_entropy_bits
from whimbrel_sim.workloads.storeday import START_NS

DAY_NS = 86_400 * 10**9


def device(seed: int = 1, events_per_day: int = 1_000) -> LightDevice:
    return LightDevice("light-1", Random(seed), start_ns=START_NS, events_per_day=events_per_day)


@pytest.mark.parametrize("events_per_day", [1, 24, 1_000, 80_000])
def test_it_has_the_stated_number_of_events_a_day(events_per_day: int) -> None:
    days = 2
    events = device(events_per_day=events_per_day).take_until(START_NS + days * DAY_NS - 1)
    assert abs(len(events) - days * events_per_day) <= 1
    assert all(one.time_ns < other.time_ns for one, other in pairwise(events))
    assert [event.data["count"] for event in events] == list(range(len(events)))
    assert events[0].time_ns >= START_NS


def test_how_it_is_taken_changes_nothing() -> None:
    whole = device().take_until(START_NS + DAY_NS)
    steps, one = [], device()
    for at in range(0, 86_401, 37):
        steps += one.take_until(START_NS + at * 10**9)
    steps += one.take_until(START_NS + DAY_NS)
    assert steps == whole
    single = device()
    for event in whole:
        assert single.next_time_ns() == event.time_ns
        assert single.take() == event


def test_events_can_be_passed_at_no_cost() -> None:
    year_ns = START_NS + 365 * DAY_NS
    one = device()
    assert abs(one.skip_until(year_ns) - 365_000) <= 1
    assert one.next_time_ns() > year_ns
    assert one.take_until(year_ns) == []
    assert one.skip_until(START_NS) == 0


def test_a_large_fleet_holds_little() -> None:
    fleet = light_devices(1, "store-1", 1_000, start_ns=START_NS)
    assert sys.getsizeof(fleet[0]) < 100
    assert fleet[7].take() == light_devices(1, "store-1", 8, start_ns=START_NS)[7].take()
    assert len({one.next_time_ns() for one in fleet}) > 900
    due = sum(len(one.take_until(START_NS + 60 * 10**9)) for one in fleet)
    assert due == pytest.approx(1_000 * 1_000 / 1_440, rel=0.1)


def test_no_compressor_beats_its_entropy() -> None:
    events = device().take_until(START_NS + 40 * DAY_NS)
    times = [event.time_ns // 10**6 for event in events]
    first = times[0]
    jitter = [time - first - number * 86_400 for number, time in enumerate(times)]
    low = min(jitter)
    planes = (
        bytes((one - low) & 255 for one in jitter),
        bytes((one - low) >> 8 for one in jitter),
        bytes(event.data["level"] for event in events),
    )
    packed = len(lzma.compress(b"".join(planes), preset=9))
    assert light_entropy_bits() == 17
    assert packed > light_entropy_bits() / 8 * len(events)
    assert packed < 1.1 * light_entropy_bits() / 8 * len(events)


def test_too_many_events_a_day_are_refused() -> None:
    with pytest.raises(ValueError, match="events_per_day"):
        device(events_per_day=100_000)
