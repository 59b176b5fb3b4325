"""The series that come regularly are found, in bounded memory and whatever came first."""

from __future__ import annotations

import random

from buffers.learning import learn_from
from whimbrel_agent.dictionaries.regulars import (
    LEAST_FRAMES,
    MAX_KEPT,
    MAX_NAMES_BYTES,
    MAX_SERIES_BYTES,
    Regulars,
)
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.columns.roster import Roster, series_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_ROSTER


def reading(source: str, *keys: str, number: int = 1) -> Event:
    data = dict.fromkeys(keys or ("value",), number)
    return Event(type="climate", source=source, time_ns=number, zone="front", data=data)


def found(*frames: list[Event]) -> Roster:
    regulars = Regulars()
    for events in frames:
        regulars.saw(events)
    return regulars.found()


def test_a_series_is_regular_once_it_came_in_two_frames() -> None:
    a, b = reading("a"), reading("b")
    assert not found([a, a, a])
    assert found([a, a], [a, b]).series == (series_of(a),)
    assert set(found([a, b], [b, a]).series) == {series_of(a), series_of(b)}


def test_the_order_does_not_depend_on_what_came_first() -> None:
    events = [reading(f"s{n}") for n in range(9)]
    assert found(events, events[::-1]) == found(events[::-1], events)


def test_what_another_process_found_goes_on() -> None:
    regulars = Regulars()
    regulars.take_up(Roster((series_of(reading("a")),)))
    regulars.take_up(Roster((series_of(reading("a")),)))
    assert len(regulars.found().series) == 1


def test_those_that_come_most_stay_when_there_is_no_room() -> None:
    regulars = Regulars()
    often = [reading(f"often-{n}") for n in range(20)]
    for turn in range(3 * MAX_KEPT // 20):
        regulars.saw([*often, *(reading(f"once-{turn}-{n}") for n in range(40))])
    assert {series_of(one) for one in often} <= set(regulars.found().series)
    assert len(regulars._frames) <= MAX_KEPT


def test_a_roster_has_a_bound_in_series_and_in_bytes() -> None:
    many = [reading(f"{n}", "a") for n in range(MAX_KEPT)]
    assert len(found(*[many] * LEAST_FRAMES).series) == MAX_ROSTER
    wide = [reading(f"{n}", *(f"key {k:060}" for k in range(9))) for n in range(200)]
    assert 20 < len(found(*[wide] * LEAST_FRAMES).series) < MAX_NAMES_BYTES // 9 // 60
    huge = [reading("a", *(f"{k:0200}" for k in range(MAX_SERIES_BYTES // 200 + 1)))]
    assert not found(*[huge] * 9)


def test_frames_of_a_device_name_their_series_no_more() -> None:
    chance = random.Random(3)
    sources = [f"a sensor with a long name {chance.randrange(10**9)}" for _ in range(12)]
    frames = [
        [reading(chance.choice(sources), number=20 * frame + at) for at in range(20)]
        for frame in range(40)
    ]
    learned = learn_from(frames)
    assert {series_of(event) for event in frames[0]} <= set(learned.dictionary.shared.roster.series)
    assert len(learned.columns[-1]) < len(encode_events(frames[-1])) / 2
