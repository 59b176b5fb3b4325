from itertools import islice

from whimbrel_protocol.event import Event
from whimbrel_sim.workloads import KINDS, StoreDay
from whimbrel_sim.workloads.plain import plain_bytes


def test_columns_are_a_few_bytes_an_event() -> None:
    events = list(islice(StoreDay(1).events(), 5_000))
    assert 4 * 5_000 < len(plain_bytes(events)) < 9 * 5_000


def test_what_follows_from_other_fields_is_left_out() -> None:
    events = list(islice(StoreDay(1, counts={"till": 4}).events(), 2_000))
    bare = [
        Event(
            type=event.type,
            source=event.source,
            time_ns=event.time_ns,
            data={name: event.data[name] for name in KINDS["till"].telling},
        )
        for event in events
    ]
    assert plain_bytes(bare) == plain_bytes(events)


def test_another_draw_gives_other_columns() -> None:
    first, second = (
        plain_bytes(islice(StoreDay(seed, counts={"room": 1}).events(), 100)) for seed in (1, 2)
    )
    assert first != second


def test_no_events_are_no_bytes() -> None:
    assert plain_bytes([]) == b""
