from __future__ import annotations

from dataclasses import replace

from committed.journal import EPOCH, address
from whimbrel_aggregator.forward.cloudevents import to_cloudevent
from whimbrel_aggregator.forward.ladder import Rung
from whimbrel_aggregator.forward.summaries import summarised, thinned
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import ClockQuality


def one(sequence: int, source: str = "sensor-1", **data: object) -> CommittedEvent:
    event = Event(type="climate", source=source, time_ns=sequence * 1_000, data=dict(data))
    return CommittedEvent(
        event=event,
        id=f"producer-{sequence}",
        address=address(),
        epoch=EPOCH,
        sequence=sequence,
        position=Position(7, sequence - 1),
        received_ns=5,
        clock=ClockQuality.SYNCED,
        fork=False,
    )


EVENTS = [
    one(1, celsius=20, door="open"),
    one(2, "sensor-2", celsius=-3.5),
    one(3, celsius=21.5, humid=True),
    one(4, celsius=19),
]


def test_a_sample_is_one_event_in_so_many_whatever_page_it_comes_in() -> None:
    many = [one(sequence) for sequence in range(1, 101)]
    kept = [event.sequence for event in thinned(many, Rung.SAMPLED, one_in=10)]
    assert kept == list(range(10, 101, 10))
    parts = [*thinned(many[:33], Rung.SAMPLED, one_in=10), *many[33:]]
    assert [event.sequence for event in parts[:3]] == [10, 20, 30]


def test_a_summary_stands_for_the_events_of_one_source_in_the_place_of_the_last() -> None:
    second, first = summarised(EVENTS)
    assert (first.sequence, first.position) == (4, Position(7, 3))
    assert first.id == f"{EVENTS[3].identity}/summary"
    assert first.event.type == "climate.summary"
    assert first.event.time_ns == 4_000
    assert first.event.extensions == {"summaryof": 3, "summaryfromns": "1000"}
    assert first.event.data == {
        "count": 3,
        "celsius_min": 19,
        "celsius_max": 21.5,
        "celsius_mean": 60.5 / 3,
        "celsius_last": 19,
    }
    assert (second.event.source, second.event.data["count"]) == ("sensor-2", 1)


def test_what_a_device_has_thinned_goes_on_as_it_is() -> None:
    marks = {"summarycount": 60, "summaryfrom": 5}
    plain = one(3, celsius=4.0)
    thin = replace(plain, event=replace(plain.event, extensions=marks))
    assert thin in summarised([*EVENTS, thin])
    assert thinned([thin], Rung.SAMPLED, one_in=10) == [thin]
    assert thinned([thin], Rung.STORE_ONLY, one_in=10) == []
    others = [event for event in summarised([*EVENTS, thin]) if event is not thin]
    assert others == summarised(EVENTS)


def test_summaries_are_in_the_order_of_their_positions_and_the_same_each_time() -> None:
    summaries = summarised(EVENTS)
    assert [one.position.place for one in summaries] == [1, 3]
    assert summarised(EVENTS) == summaries


def test_outside_a_summary_is_marked_as_one() -> None:
    [_, summary] = summarised(EVENTS)
    assert to_cloudevent(summary)["summaryof"] == 3


def test_the_ends_of_the_ladder_leave_all_and_nothing() -> None:
    assert thinned(EVENTS, Rung.FULL, one_in=2) == EVENTS
    assert thinned(EVENTS, Rung.STORE_ONLY, one_in=2) == []
