"""What the aggregator needs from the world, named for the need. Simulated worlds replace these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Clock(Protocol):
    """The region's clocks."""

    def wall_ns(self) -> int:
        """Return Unix time in nanoseconds."""
        ...

    def mono_ns(self) -> int:
        """Return nanoseconds that never go back."""
        ...

    @property
    def boot_id(self) -> str:
        """Text that changes with every boot of the machine, empty where that is not known."""
        ...


class Random(Protocol):
    """Randomness; a seeded ``random.Random`` in worlds, the system's in production."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def randbytes(self, count: int, /) -> bytes:
        """Return ``count`` random bytes."""
        ...


class Runner(Protocol):
    """Runs blocking work in order: in one thread in production, directly in worlds."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` after all work handed in before it and return its result.

        Work that has begun is finished even when the waiting task is cancelled.
        """
        ...

    async def close(self) -> None:
        """Finish what was handed in, then stop."""
        ...


class Workers(Protocol):
    """Runs one function over many values: in threads in production, directly in worlds."""

    async def map(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return ``work(item)`` for every item, in their order; an error of any is raised."""
        ...

    async def close(self) -> None:
        """Finish what was handed in, then stop."""
        ...


class Feed(Protocol):
    """The way from and to the brokers."""

    @property
    def connected(self) -> str:
        """The broker that is connected now, empty without one."""
        ...

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand an answer to the broker's client; False when it was dropped."""
        ...

    async def run(self) -> None:
        """Stay connected until cancelled."""
        ...
