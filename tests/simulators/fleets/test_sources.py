from __future__ import annotations

from random import Random

from whimbrel_sim.fleets.pace import Pace, Sources
from whimbrel_sim.fleets.roster import Roster
from whimbrel_sim.fleets.sources import MAX_BEHIND_EVENTS, NS_PER_S, MixSource, mix_facts

START_NS = 1_800_000_000 * NS_PER_S


def source(seed: int = 1, events_per_s: float = 2.0) -> MixSource:
    return MixSource(
        mix_facts(seed, "store-1"), events_per_s=events_per_s, burst_events=4,
        start_ns=START_NS, random=Random(seed),
    )  # fmt: skip


def test_events_come_in_order_at_the_wanted_rate_and_none_before_its_time() -> None:
    mix = source()
    assert mix.take_until(START_NS - 1) == []
    events = mix.take_until(START_NS + 500 * NS_PER_S)
    assert 800 < len(events) < 1200
    times = [event.time_ns for event in events]
    assert times[0] >= START_NS
    assert mix.next_time_ns() > START_NS + 500 * NS_PER_S


def test_the_same_seed_gives_the_same_events() -> None:
    until_ns = START_NS + 60 * NS_PER_S
    assert source(3).take_until(until_ns) == source(3).take_until(until_ns)
    assert source(3).take_until(until_ns) != source(4).take_until(until_ns)


def test_a_long_absence_is_not_made_up_for() -> None:
    mix = source(events_per_s=1000)
    assert len(mix.take_until(START_NS + 3600 * NS_PER_S)) < MAX_BEHIND_EVENTS + 8
    assert mix.next_time_ns() > START_NS + 3600 * NS_PER_S


def test_members_of_a_store_are_the_devices_of_its_day() -> None:
    roster = Roster(
        run="0badcafe", tenant="sim", region="eu-1", region_key="", brokers=(), stores=1, devices=10
    )
    sources = Sources(roster, Pace(events_per_s=4.0, workload="ordinary"), start_ns=START_NS)
    names = []
    for member in roster.members:
        events = sources.source(member).take_until(START_NS + 24 * 3600 * NS_PER_S)
        assert events
        (name,) = {event.source for event in events}
        names.append(name)
    assert len(set(names)) == 10  # eight kinds, then a second one of the first two
