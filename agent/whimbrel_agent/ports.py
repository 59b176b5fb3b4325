"""What the agent needs from the world, named for the need. Simulated worlds replace these."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeVar

from whimbrel_protocol.lanes import ClockQuality

T = TypeVar("T")


class Clock(Protocol):
    """The device's clocks."""

    def wall_ns(self) -> int:
        """Unix time in nanoseconds, as good or bad as the device has it."""
        ...

    def mono_ns(self) -> int:
        """Nanoseconds since boot, never going back."""
        ...

    def quality(self) -> ClockQuality:
        """Return what is known about the wall clock now."""
        ...

    @property
    def boot_id(self) -> bytes:
        """Four bytes that change with every boot."""
        ...


class Random(Protocol):
    """Randomness; a seeded ``random.Random`` in worlds, the system's in production."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def getrandbits(self, count: int, /) -> int:
        """Return ``count`` random bits."""
        ...


class SqlRunner(Protocol):
    """Runs blocking database work: in one thread in production, directly in worlds."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` after all work handed in before it and return its result.

        Work that has begun is finished even when the waiting task is cancelled.
        """
        ...

    async def close(self) -> None:
        """Finish what was handed in, then stop."""
        ...


SqlWork = Callable[[sqlite3.Connection], T]


class LinkFailure(Enum):
    """Why a link could not be made or was lost; each has its own way of retrying."""

    NO_LINK = auto()
    """No network, no route, name not resolved, or silence."""
    REFUSED = auto()
    """The host answered and refused, or broke the connection."""
    UNAUTHORISED = auto()
    """TLS or the broker's credentials were not accepted."""
    OVERLOADED = auto()
    """The broker said that it is busy or unavailable."""
    BAD_DATA = auto()
    """The other side broke the protocol."""


class TransportError(Exception):
    """The transport failed; ``failure`` says in which class."""

    def __init__(self, failure: LinkFailure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that came in."""

    topic: str
    payload: bytes
    retained: bool


class Link(Protocol):
    """One live connection to a broker, already subscribed."""

    @property
    def dropped(self) -> int:
        """How many messages that came in were dropped, since they were not read in time."""
        ...

    @property
    def interface(self) -> str:
        """Name of the network interface that it goes out of, empty when that is unknown."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message to the broker; returns when the client took it, not when it arrived.

        Raises:
            TransportError: the link is gone.
        """
        ...

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield what comes in until the link ends; raises TransportError when it broke."""
        ...

    async def close(self) -> None:
        """End the connection in an orderly way."""
        ...


class Service(Protocol):
    """A local service that was built and listens; it serves while ``run`` runs."""

    @property
    def port(self) -> int | None:
        """Its TCP port, None without one."""
        ...

    async def run(self) -> None:
        """Serve until ``stop``, or until cancelled."""
        ...

    async def stop(self) -> None:
        """Take nothing new, finish the answers under way, then let ``run`` return."""
        ...

    def close(self) -> None:
        """Let go of what it listens on; harmless when repeated."""
        ...


class Transport(Protocol):
    """Makes links to the configured brokers, one at a time."""

    def use_keepalive(self, keepalive_s: int) -> None:
        """Ask for this keep-alive, in seconds, on links made from now on; 0 asks for none."""
        ...

    async def connect(self, broker: int) -> Link:
        """Connect to the broker with this index in the configured list.

        Raises:
            TransportError: with its failure class.
        """
        ...
