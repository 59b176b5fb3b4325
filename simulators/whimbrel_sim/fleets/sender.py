"""A device that never loses a sale: it posts, and repeats itself until it is told.

Every event has an id of its own, by which the product recognises a repetition. The ledger learns
of a post before it leaves, and of an answer only when there was one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final, Protocol

from whimbrel_protocol.event import Event

from .ledgerfile import LedgerFile, PlaceRun, Post
from .sources import NS_PER_S, Source

RETRY_S: Final = 0.5
"""Between two tries of the same post."""

MAX_POST_EVENTS: Final = 500
"""Events in one post; what was missed during an outage goes in several."""

LOOK_S: Final = 5.0
"""A sender looks up so often at least, to see whether it is to stop."""


class NotYetError(Exception):
    """The agent is away, full or busy: the same post must be tried again."""


class Outlet(Protocol):
    """The way into one agent."""

    async def deliver(self, events: Sequence[Event]) -> list[PlaceRun]:
        """Hand a group over and return where it went.

        Raises:
            NotYetError: no answer, or not now.
        """
        ...


class Sender:
    """Sends what a source makes.

    Args:
        name: in the ledger.
        source: makes the events.
        outlet: takes them.
        ledger: the file of this sender's process.
        wall_ns: Unix nanoseconds now.

    Attributes:
        counts: ``posts``, ``events``, ``retries``.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        outlet: Outlet,
        ledger: LedgerFile,
        *,
        wall_ns: Callable[[], int],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._name = name
        self._source = source
        self._outlet = outlet
        self._ledger = ledger
        self._wall_ns = wall_ns

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``; the post that is under way is finished first."""
        for post in self._ledger.unsure(self._name):
            await self._until_told(post, self._again(post))
        while not stop.is_set():
            for lane, group in groupby(self._due(), key=lambda event: event.lane):
                events = list(group)
                for at in range(0, len(events), MAX_POST_EVENTS):
                    await self._post(lane, events[at : at + MAX_POST_EVENTS])
            await self._pause(stop)

    def _due(self) -> list[Event]:
        return self._source.take_until(self._wall_ns())

    async def _post(self, lane: str, events: Sequence[Event]) -> None:
        post = self._ledger.begin(self._name, lane, [event.source for event in events])
        named = [
            replace(event, dedup_key=event_id)
            for event, event_id in zip(events, post.event_ids(), strict=True)
        ]
        await self._until_told(post, named)

    async def _until_told(self, post: Post, events: Sequence[Event]) -> None:
        while True:
            try:
                runs = await self._outlet.deliver(events)
            except NotYetError:
                self.counts["retries"] += 1
                await asyncio.sleep(RETRY_S)
                continue
            self._ledger.accept(post, runs)
            self.counts["posts"] += 1
            self.counts["events"] += post.count
            return

    def _again(self, post: Post) -> list[Event]:
        """Make events that stand for those of a life before: ids and sources are recognised."""
        return [
            Event(
                type="fleet.again",
                source=source,
                time_ns=self._wall_ns(),
                lane=post.lane,
                dedup_key=event_id,
            )
            for source, event_id in zip(post.sources, post.event_ids(), strict=True)
        ]

    async def _pause(self, stop: asyncio.Event) -> None:
        next_ns = self._source.next_time_ns()
        wait_s = LOOK_S if next_ns is None else (next_ns - self._wall_ns()) / NS_PER_S
        try:
            async with asyncio.timeout(max(0.0, min(wait_s, LOOK_S))):
                await stop.wait()
        except TimeoutError:
            return
