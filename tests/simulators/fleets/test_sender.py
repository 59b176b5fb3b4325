from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from whimbrel_protocol.event import Event
from whimbrel_sim.fleets import sender as sender_module
from whimbrel_sim.fleets.ledgerfile import LedgerFile, PlaceRun, read_ledger
from whimbrel_sim.fleets.sender import NotYetError, Sender
from whimbrel_sim.ledger import Outcome

NAME = "r/store-1/till-1"


class ListSource:
    """Gives a list of events, all due at once."""

    def __init__(self, *lanes: str) -> None:
        self._events = [Event(type="t", source="s", time_ns=1, lane=lane) for lane in lanes]

    def next_time_ns(self) -> int | None:
        return 1 if self._events else None

    def take_until(self, time_ns: int) -> list[Event]:
        events, self._events = self._events, []
        return events


class Shop:
    """An agent that is away for the first calls; it knows events by source and id, as the real one."""

    def __init__(self, away: int = 0, deaf: int = 0) -> None:
        self.away = away
        self.deaf = deaf
        self.places: dict[tuple[str, str | None], int] = {}
        self.full = asyncio.Event()

    async def deliver(self, events: Sequence[Event]) -> list[PlaceRun]:
        if self.away:
            self.away -= 1
            raise NotYetError
        places = [
            self.places.setdefault((event.source, event.dedup_key), len(self.places) + 1)
            for event in events
        ]
        if self.deaf:
            self.deaf -= 1
            raise NotYetError  # it was kept, but nobody is told
        self.full.set()
        return [PlaceRun(7, events[0].lane, place, 1) for place in places]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "RETRY_S", 0)


async def send(tmp_path: Path, source: ListSource, shop: Shop) -> Sender:
    ledger = LedgerFile(tmp_path / "a.ledger")
    sender = Sender(NAME, source, shop, ledger, wall_ns=lambda: 2)
    stop = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(sender.run(stop))
        await shop.full.wait()
        stop.set()
    ledger.close()
    return sender


async def test_a_post_is_repeated_until_it_is_answered_and_counts_once(tmp_path: Path) -> None:
    shop = Shop(away=2, deaf=2)
    sender = await send(tmp_path, ListSource("normal", "normal"), shop)
    ledger = read_ledger(tmp_path)
    assert ledger.count(Outcome.ACCEPTED) == len(shop.places) == 2
    assert sender.counts["retries"] == 4


async def test_lanes_are_posted_apart_in_the_order_of_the_source(tmp_path: Path) -> None:
    await send(tmp_path, ListSource("normal", "critical", "critical", "normal"), Shop())
    lanes = [(entry.number, entry.lane) for entry in read_ledger(tmp_path)]
    assert lanes == [(1, "normal"), (2, "critical"), (3, "critical"), (4, "normal")]


async def test_a_new_life_asks_again_about_what_the_old_one_was_not_told(tmp_path: Path) -> None:
    before = LedgerFile(tmp_path / "a.ledger")
    before.begin(NAME, "high", ["till", "room"])
    before.close()
    shop = Shop()
    shop.places = {("till", f"{NAME}-1"): 41, ("room", f"{NAME}-2"): 42}  # they had arrived
    await send(tmp_path, ListSource("normal"), shop)
    found = [(entry.number, entry.place) for entry in read_ledger(tmp_path)]
    assert [place.sequence for _, place in found if place is not None][:2] == [41, 42]
