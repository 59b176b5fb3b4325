"""What is shared has bounds together; word lists give way first."""

from __future__ import annotations

import random

from whimbrel_agent.dictionaries.sharing import Sharing
from whimbrel_protocol.columns.roster import series_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_TABLES_BYTES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, read_shared, write_shared


def sales(frame: int, *, articles: int, sources: int) -> list[Event]:
    chance = random.Random(frame)
    events = []
    for number in range(200):
        article = chance.randrange(articles)
        name = random.Random(article).randbytes(30).hex()
        data = {"article": f"{article}", "name": name, "till": f"till {number % 3}"}
        source = f"a source with a long name {chance.randrange(sources)}"
        events.append(Event(type="sale", source=source, time_ns=number, data=data))
    return events


def shared_of(frames: int, *, articles: int, sources: int) -> Shared:
    sharing = Sharing()
    for frame in range(frames):
        sharing.saw(sales(frame, articles=articles, sources=sources), NOTHING_SHARED)
        if frame == frames // 2:
            sharing.found(NOTHING_SHARED)  # a look: fewer candidates, of which more is kept
    return sharing.found(NOTHING_SHARED)


def test_tables_words_and_series_are_shared() -> None:
    shared = shared_of(20, articles=50, sources=3)
    told = [(table.known, table.follows) for table in shared.tables]
    assert told == [("article", ("name",)), ("till", ())]
    assert len(shared.roster.series) == 3
    assert read_shared(write_shared(shared)) == shared


def test_all_of_it_has_room() -> None:
    shared = shared_of(120, articles=1_900, sources=300)
    assert len(shared.roster.series) > 200
    assert MAX_TABLES_BYTES * 0.8 < len(write_shared(shared)) <= MAX_TABLES_BYTES


def test_what_another_process_found_is_shared_again() -> None:
    before = shared_of(20, articles=50, sources=3)
    sharing = Sharing()
    strange = Event(type="door", source="door-1", time_ns=0, data={"open": True})
    sharing.saw([strange], before)
    found = sharing.found(before)
    assert found.roster == before.roster
    assert found.tables == before.tables
    assert series_of(strange) not in found.roster.numbers
