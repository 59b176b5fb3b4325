"""What a sink is: the port between a forwarder and an outside system.

A sink declares its guarantee, takes batches of one partition in journal order, and says of
each batch how much of it is settled. It never decides when to retry and never touches a
cursor: that is the worker's (``worker``) by the policy (``policy``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.errors import WhimbrelError


class Guarantee(StrEnum):
    """What a sink promises about an event after any crash between two steps."""

    TRANSACTIONAL = "transactional"
    """The outside system keeps events and position together: every event is there once."""
    KEYED = "keyed"
    """An event may come again, always with the same idempotency key."""
    AT_LEAST_ONCE = "at-least-once"
    """An event may come again, and nothing tells it from another."""


class SinkError(WhimbrelError):
    """The outside system cannot be used now; the worker tries again later."""


class SinkConfigError(WhimbrelError):
    """The sink's settings can never work; the forwarder stops and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events of one partition, in journal order, that are to be delivered.

    Attributes:
        partition: the (tenant, store) they belong to.
        generation: of the journal they are from, 8 bytes.
        events: one or more, at most the sink's ``max_batch_events``.
        next: where the partition stands once all of ``events`` are settled; everything before
            it is settled or was not selected.
    """

    partition: PartitionKey
    generation: bytes
    events: tuple[CommittedEvent, ...]
    next: Position


@dataclass(frozen=True, slots=True)
class Poison:
    """An event that the outside system refuses for what it is, and the answer it gave."""

    event: CommittedEvent
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a batch.

    Attributes:
        settled: so many events from the batch's start need no further delivery: they are
            durable outside, or named in ``poison``.
        poison: the refused ones among them.
        retry: why the rest (if any) must be tried again later.
        wish_s: how long the outside system asked to be left alone, in seconds.
    """

    settled: int
    poison: tuple[Poison, ...] = ()
    retry: str | None = None
    wish_s: float | None = None


class Sink(Protocol):
    """An outside system that committed events are delivered to.

    ``deliver`` may run for several partitions at once, never twice for one.
    """

    guarantee: Guarantee
    max_batch_events: int

    async def open(self, generation: bytes) -> None:
        """Connect, repair what a crash left, and read back what is there.

        Raises:
            SinkError: not possible now.
            SinkConfigError: not possible with these settings.
        """
        ...

    async def position(self, partition: PartitionKey) -> Position | None:
        """Return where the outside system itself says a partition stands, None if it cannot.

        Raises:
            SinkError: it cannot be asked now.
        """
        ...

    async def deliver(self, batch: Batch) -> Outcome:
        """Deliver a batch; what is settled is durable on the other side.

        Trouble with the outside system is an outcome, never an exception.
        """
        ...

    async def idle(self) -> None:
        """Do what is due by time alone; called every few seconds, beside deliveries."""
        ...

    async def close(self) -> None:
        """Let go of connections and files; nothing that was settled may be lost by it."""
        ...
