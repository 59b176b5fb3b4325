"""What every sink promises, proved on real files, a real HTTP server and a real PostgreSQL."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from committed.journal import START_NS, address, event
from committed.receiver import Receiver
from servers.postgres import PostgresServer
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import FORWARD_KINDS
from whimbrel_aggregator.forward.port import Batch, Guarantee, Sink
from whimbrel_aggregator.forward.sinks.files import FilesSink
from whimbrel_aggregator.forward.sinks.postgres import PostgresSink
from whimbrel_aggregator.forward.sinks.webhook import WebhookSink
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.lanes import ClockQuality

GENERATION = b"generati"


def batch(first: int, count: int, store: str = "store-1", offset: int = 1) -> Batch:
    """Events ``first``.. of a frame at ``offset``, numbered as their sequences."""
    events = tuple(
        CommittedEvent(
            event=event(number),
            id=f"{store}/{number}",
            address=address(store),
            epoch=5,
            sequence=number,
            position=Position(offset, number),
            received_ns=START_NS,
            clock=ClockQuality.SYNCED,
            fork=False,
        )
        for number in range(first, first + count)
    )
    after = Position(offset, first + count)
    return Batch(
        partition=PartitionKey("acme", store), generation=GENERATION, events=events, next=after
    )


class Outside(ABC):
    """The outside system of one sink: what arrived there, and its failures."""

    @abstractmethod
    def make(self) -> Sink: ...

    @abstractmethod
    async def arrived(self) -> list[tuple[str, int]]:
        """(store, number) of each event that is there, duplicates included."""

    @abstractmethod
    async def fail(self) -> None: ...

    @abstractmethod
    async def recover(self) -> None: ...


class FilesOutside(Outside):
    def __init__(self, folder: Path, runner: ThreadRunner) -> None:
        self.folder = folder
        self.runner = runner

    def make(self) -> Sink:
        return FilesSink(
            self.folder, rotate_bytes=5_000, rotate_s=3600, runner=self.runner, clock=SystemClock()
        )

    async def arrived(self) -> list[tuple[str, int]]:
        lines = [
            json.loads(line)
            for path in sorted(self.folder.glob("*.ndjson"))
            for line in path.read_text().splitlines()
        ]
        return [(line["store"], line["data"]["number"]) for line in lines]

    async def fail(self) -> None:
        # a file in the folder's place: nothing can be opened under it, for root neither
        self.folder.rename(self.folder.with_name("away"))
        self.folder.write_text("in the way")

    async def recover(self) -> None:
        self.folder.unlink()
        self.folder.with_name("away").rename(self.folder)


class WebhookOutside(Outside):
    def __init__(self, receiver: Receiver, runner: ThreadRunner) -> None:
        self.receiver = receiver
        self.runner = runner

    def make(self) -> Sink:
        return WebhookSink(
            self.receiver.url,
            secret_file=None,
            batch_events=500,
            timeout_s=5,
            runner=self.runner,
            clock=SystemClock(),
        )

    async def arrived(self) -> list[tuple[str, int]]:
        return [(one["store"], one["data"]["number"]) for one in self.receiver.accepted]

    async def fail(self) -> None:
        await self.receiver.stop()

    async def recover(self) -> None:
        await self.receiver.start()


class PostgresOutside(Outside):
    def __init__(self, server: PostgresServer, dsn_file: Path, runner: ThreadRunner) -> None:
        self.server = server
        self.dsn_file = dsn_file
        self.runner = runner

    def make(self) -> Sink:
        return PostgresSink(
            "warehouse",
            self.dsn_file,
            schema="public",
            table="events_{tenant}",
            runner=self.runner,
        )

    async def arrived(self) -> list[tuple[str, int]]:
        async with await psycopg.AsyncConnection.connect(self.server.dsn) as connection:
            found = await connection.execute(
                "SELECT store, (data->>'number')::int FROM events_acme ORDER BY store, sequence"
            )
            return list(await found.fetchall())

    async def fail(self) -> None:
        self.server.kill()

    async def recover(self) -> None:
        self.server.start()


@pytest.fixture
async def runner() -> AsyncIterator[ThreadRunner]:
    made = ThreadRunner("sink")
    yield made
    await made.close()


@pytest.fixture(params=["files", "webhook", "postgres"])
async def outside(
    request: pytest.FixtureRequest, tmp_path: Path, runner: ThreadRunner
) -> AsyncIterator[Outside]:
    match request.param:
        case "files":
            yield FilesOutside(tmp_path / "out", runner)
        case "webhook":
            receiver = Receiver()
            await receiver.start()
            yield WebhookOutside(receiver, runner)
            await receiver.stop()
        case _:
            server: PostgresServer = request.getfixturevalue("postgres")
            dsn_file = tmp_path / "dsn"
            dsn_file.write_text(server.dsn)
            dsn_file.chmod(0o600)
            yield PostgresOutside(server, dsn_file, runner)


@pytest.fixture
async def sink(outside: Outside) -> AsyncIterator[Sink]:
    made = outside.make()
    await made.open(GENERATION)
    yield made
    await made.close()


def numbers(store: str, first: int, count: int) -> list[tuple[str, int]]:
    return [(store, number) for number in range(first, first + count)]


async def test_what_is_settled_is_there_in_order(outside: Outside, sink: Sink) -> None:
    for first in (1, 21, 41):
        outcome = await sink.deliver(batch(first, 20))
        assert (outcome.settled, outcome.poison, outcome.retry) == (20, (), None)
    assert await outside.arrived() == numbers("store-1", 1, 60)


async def test_partitions_do_not_mix(outside: Outside, sink: Sink) -> None:
    await sink.deliver(batch(1, 3, "store-1"))
    await sink.deliver(batch(1, 3, "store-2"))
    arrived = await outside.arrived()
    assert sorted(arrived) == numbers("store-1", 1, 3) + numbers("store-2", 1, 3)


async def test_a_repeated_batch_is_once_there_or_has_the_same_identity(
    outside: Outside, sink: Sink
) -> None:
    await sink.deliver(batch(1, 5))
    outcome = await sink.deliver(batch(1, 8))
    assert outcome.settled == 8
    arrived = await outside.arrived()
    assert sorted(set(arrived)) == numbers("store-1", 1, 8)
    if sink.guarantee is Guarantee.TRANSACTIONAL:
        assert len(arrived) == 8


async def test_a_transactional_sink_knows_where_it_stands_after_a_restart(
    outside: Outside, sink: Sink
) -> None:
    await sink.deliver(batch(1, 30))
    await sink.deliver(batch(1, 4, "store-2", offset=9))
    await sink.close()
    again = outside.make()
    await again.open(GENERATION)
    known = await again.position(PartitionKey("acme", "store-1"))
    other = await again.position(PartitionKey("acme", "store-2"))
    never = await again.position(PartitionKey("acme", "store-3"))
    await again.close()
    if sink.guarantee is Guarantee.TRANSACTIONAL:
        assert (known, other) == (Position(1, 31), Position(9, 5))
    else:
        assert (known, other) == (None, None)
    assert never is None


async def test_another_generation_starts_without_positions(outside: Outside, sink: Sink) -> None:
    await sink.deliver(batch(1, 30))
    await sink.close()
    again = outside.make()
    await again.open(b"restored")
    assert await again.position(PartitionKey("acme", "store-1")) is None
    await again.close()
    assert await outside.arrived() == numbers("store-1", 1, 30)


async def test_a_failing_outside_is_an_outcome_and_delivery_goes_on_after_it(
    outside: Outside, sink: Sink
) -> None:
    await sink.deliver(batch(1, 15))
    await outside.fail()
    outcome = await sink.deliver(batch(16, 15))
    await outside.recover()
    assert outcome.settled == 0
    assert outcome.retry
    assert (await sink.deliver(batch(16, 15))).settled == 15
    assert await outside.arrived() == numbers("store-1", 1, 30)


async def test_closing_twice_is_harmless(sink: Sink) -> None:
    await sink.close()
    await sink.close()


def test_the_contract_covers_every_kind_that_can_be_configured() -> None:
    kinds: dict[str, Any] = {"files": FilesSink, "webhook": WebhookSink, "postgres": PostgresSink}
    assert set(kinds) == set(FORWARD_KINDS)
