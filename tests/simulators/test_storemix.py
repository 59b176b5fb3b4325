from itertools import islice, pairwise

from whimbrel_protocol.event import validate_event
from whimbrel_sim.storemix import store_events


def test_the_same_seed_gives_the_same_events_whatever_the_count() -> None:
    few = list(store_events(5, 50))
    assert few == list(islice(store_events(5, 400), 50))
    assert few != list(store_events(6, 50))
    assert few != list(store_events(5, 50, store="store-2"))


def test_events_are_valid_in_time_order_and_of_every_kind() -> None:
    events = list(store_events(1, 2_000, start_ns=10**18))
    for event in events:
        validate_event(event)
    assert all(one.time_ns <= other.time_ns for one, other in pairwise(events))
    assert events[0].time_ns >= 10**18
    kinds = {event.type for event in events}
    assert kinds == {"pos.line", "climate", "fridge.temperature", "door.count", "stock.move"}
