"""A till that never loses a sale: posts events by HTTP and repeats itself until it is told.

Each body is posted under one idempotency key until an answer comes, whatever happens to the agent
in between. The ledger learns only what an answer said.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import aiohttp

from .journalfile import ID_FIELD
from .ledger import Entry, Ledger, Outcome, Place

ANSWER_TIMEOUT_S: Final = 3.0
"""A till's patience; then it posts the same again."""

RETRY_S: Final = 0.05

_ACCEPTED: Final = 202
_FULL: Final = 507
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


class ProducerError(Exception):
    """The agent gave an answer that a correct body must never get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one producer sends.

    Attributes:
        sender: its name; also the events' source.
        lane: of all its events.
        batch_events: events in one post, the most of a random number from 1 on.
        pause_s: mean of the exponential pause between two posts.
        padding_bytes: text of this size in each event, to fill disks faster.
        repeat: the chance that an accepted post is posted once more, as a till does that missed
            the answer.
        give_up_when_full: 507 means refused; otherwise the post is repeated until there is room.
    """

    sender: str
    lane: str = "normal"
    batch_events: int = 20
    pause_s: float = 0.02
    padding_bytes: int = 0
    repeat: float = 0.02
    give_up_when_full: bool = False


class Producer:
    """Posts to one agent's HTTP intake.

    Args:
        facts: endless events in the intake's JSON form, each with ``data``; invented sales when
            there are none. The id and number of the ledger are put in front of the data.

    Attributes:
        counts: answers by status, ``no_answer``, ``repeated`` (events whose first answer came
            again).
    """

    def __init__(
        self,
        ledger: Ledger,
        load: Load,
        *,
        url: Callable[[], str],
        random: Random,
        facts: Iterator[dict[str, Any]] | None = None,
    ) -> None:
        self.load = load
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._url = url
        self._random = random
        self._posts = 0
        self._facts = facts or self._sales()

    async def run(self, stop: asyncio.Event) -> None:
        """Post until ``stop`` is set; the post under way is repeated until it is answered."""
        async with self._session() as session:
            while not stop.is_set():
                await self._post(session, 1 + self._random.randrange(self.load.batch_events))
                if self.load.pause_s:
                    await asyncio.sleep(self._random.expovariate(1 / self.load.pause_s))

    async def send(self, events: int, *, batch_events: int = 0) -> None:
        """Post so many events and return once all are answered."""
        async with self._session() as session:
            while events > 0:
                batch = min(events, batch_events or self.load.batch_events)
                await self._post(session, batch)
                events -= batch

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S))

    async def _post(self, session: aiohttp.ClientSession, events: int) -> None:
        self._posts += 1
        key = f"{self.load.sender}-post-{self._posts}-{self._random.getrandbits(64):x}"
        entries = [self._ledger.post(self.load.sender, self.load.lane) for _ in range(events)]
        body = b"".join(self._line(entry) for entry in entries)
        await self._until_answered(session, key, body, entries)
        is_given_up = any(entry.outcome is Outcome.REFUSED for entry in entries)
        if self._random.random() < self.load.repeat and not is_given_up:
            await self._until_answered(session, key, body, entries)

    async def _until_answered(
        self, session: aiohttp.ClientSession, key: str, body: bytes, entries: list[Entry]
    ) -> None:
        while True:
            if await self._is_answered(session, key, body, entries):
                return
            await asyncio.sleep(RETRY_S)

    async def _is_answered(
        self, session: aiohttp.ClientSession, key: str, body: bytes, entries: list[Entry]
    ) -> bool:
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
        try:
            async with session.post(
                f"{self._url()}/v1/events", data=body, headers=headers
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.counts["no_answer"] += 1
            return False
        self.counts[str(answer.status)] += 1
        if answer.status == _ACCEPTED:
            members = json.loads(text)
            self.counts["repeated"] += members["repeated"]
            self._ledger.accept(entries, places_of(members["accepted"]))
            return True
        if answer.status == _FULL:
            if self.load.give_up_when_full:
                self._ledger.refuse(entries)
            return self.load.give_up_when_full
        if answer.status in _TRY_AGAIN:
            return False
        raise ProducerError(f"{answer.status} for a correct body: {text[:300]}")

    def _line(self, entry: Entry) -> bytes:
        event = next(self._facts)
        event["lane"] = self.load.lane
        event["data"] = {ID_FIELD: entry.event_id, "n": entry.number, **event["data"]}
        return json.dumps(event).encode() + b"\n"

    def _sales(self) -> Iterator[dict[str, Any]]:
        while True:
            padding = self._random.randbytes(self.load.padding_bytes // 2).hex()
            data = {"padding": padding} if padding else {}
            yield {"type": "sim.sale", "source": self.load.sender, "data": data}


def places_of(ranges: Sequence[dict[str, Any]]) -> list[Place]:
    """Return the place of each event of an answer, in the order of the body."""
    return [
        Place(int(part["epoch"]), part["lane"], part["first"] + index)
        for part in ranges
        for index in range(part["count"])
    ]
