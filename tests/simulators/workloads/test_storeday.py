from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from whimbrel_protocol.event import Event
from whimbrel_sim.workloads import BLACK_FRIDAY, KINDS, StoreDay, store_day_events
from whimbrel_sim.workloads.storeday import START_NS

DAY_NS = 86_400 * 10**9


def first(count: int, events: Iterator[Event]) -> list[Event]:
    return list(islice(events, count))


def test_seed_and_store_give_the_events_whatever_is_taken() -> None:
    few = first(300, StoreDay(5).events())
    assert few == first(2_000, StoreDay(5).events())[:300]
    assert few == first(300, store_day_events(5))
    assert few != first(300, StoreDay(6).events())
    assert few != first(300, StoreDay(5, "store-2").events())


def test_taking_by_time_gives_the_same_events_in_order() -> None:
    whole = list(StoreDay(5).events(86_400))
    stream = StoreDay(5).stream()
    parts: list[Event] = []
    now_ns = START_NS
    while now_ns < START_NS + DAY_NS:
        now_ns = min(now_ns + 1_777 * 10**9, START_NS + DAY_NS - 1)
        parts += stream.take_until(now_ns)
        assert stream.next_time_ns() is not None
        if now_ns == START_NS + DAY_NS - 1:
            break
    assert parts == whole
    assert all(one.time_ns <= other.time_ns for one, other in pairwise(whole))


def test_a_kind_does_not_depend_on_the_other_kinds() -> None:
    tills = [event for event in StoreDay(5).events(86_400) if event.source.startswith("till-")]
    assert tills == list(StoreDay(5, counts={"till": 4}).events(86_400))
    one_till = [event for event in tills if event.source == "till-1"]
    assert one_till == list(StoreDay(5, counts={"till": 1}).events(86_400))


def test_the_rate_multiplies_the_events() -> None:
    usual = len(list(StoreDay(5).events(86_400)))
    assert len(list(StoreDay(5, rate=3).events(86_400))) == pytest.approx(3 * usual, rel=0.05)
    assert StoreDay(5).events_per_day() == pytest.approx(usual, rel=0.03)


def test_black_friday_is_busiest_when_the_doors_open() -> None:
    tills = StoreDay(5, day=BLACK_FRIDAY, counts={"till": 4})
    hours = [0] * 24
    for event in tills.events(86_400):
        hours[(event.time_ns - START_NS) // (3_600 * 10**9)] += 1
    assert sum(hours[:6]) == 0
    assert min(hours[8:24]) > 0
    ordinary = StoreDay(5, counts={"till": 4}).events_per_day()
    assert sum(hours) > 3 * ordinary
    assert sum(hours) == pytest.approx(tills.events_per_day(), rel=0.05)


def test_shares_name_each_kind() -> None:
    store_day = StoreDay(1, counts={"till": 2, "room": 0, "door": 1})
    shares = store_day.shares()
    assert [(share.name, share.devices) for share in shares] == [("till", 2), ("door", 1)]
    assert min(share.bits_per_event for share in shares) < store_day.entropy_bits()
    assert store_day.entropy_bits() < max(share.bits_per_event for share in shares)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind is called"):
        StoreDay(1, counts={"robot": 1})
    with pytest.raises(ValueError, match="whole millisecond"):
        StoreDay(1, start_ns=1)


def test_every_kind_is_in_an_ordinary_store() -> None:
    assert StoreDay(1).counts == {name: kind.count for name, kind in KINDS.items()}
