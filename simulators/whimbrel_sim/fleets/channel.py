"""One direction of one proxied connection: bytes that come late, slowly, damaged, or never.

Without faults a chunk is written at once. With them it waits in a queue for its time; the queue
is bounded, and whoever fills it waits, as before a full TCP window.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Final

from .links import CLEAR, Way

MAX_QUEUED_BYTES: Final = 1024 * 1024
"""More than a second of 8 Mbit/s on its way; beyond it the sender is not read any more."""


CLOSED_LOOK_S: Final = 0.2
"""A closed way is tried again so often, as TCP does at first."""


class LinkResetError(ConnectionResetError):
    """The network reset this connection, on purpose."""


class Channel:
    """Writes to ``writer`` what a way lets through.

    Args:
        name: ``up`` or ``down``, in the counters.
        way: asked for each chunk, so that it may change at any time.
        writer: the far end.
        random: chance of loss, flips and jitter.
        counts: ``NAME.bytes``, ``NAME.flipped``, ``NAME.resets`` and ``NAME.chunks_delayed``.
    """

    def __init__(
        self,
        name: str,
        way: Callable[[], Way],
        writer: asyncio.StreamWriter,
        *,
        random: Random,
        counts: Counter[str],
    ) -> None:
        self._name = name
        self._way = way
        self._writer = writer
        self._random = random
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._last_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._silent = False

    def send(self, data: bytes) -> None:
        """Let a chunk go its way.

        Raises:
            LinkResetError: the network lost the connection at it.
        """
        if self._silent or self._writer.transport.is_closing():
            return
        way = self._way()
        if way.loss and self._random.random() < way.loss:
            self._counts[f"{self._name}.resets"] += 1
            raise LinkResetError(f"reset on the way {self._name}")
        if way.flip and self._random.random() < way.flip:
            data = self._flipped(data)
        if way is CLEAR and not self._queue:
            self._write(data)
        else:
            self._enqueue(data, way)

    async def room(self) -> None:
        """Wait until more may be sent."""
        await self._room.wait()
        await self._writer.drain()

    def fall_silent(self) -> None:
        """Never send anything again, not even the end of the connection."""
        self._silent = True
        self.close()

    def close(self) -> None:
        """Forget what is on its way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        self._queued_bytes = 0
        self._room.set()
        self._empty.set()

    def break_off(self) -> None:
        """End the connection at once."""
        self.close()
        self._writer.transport.abort()

    @property
    def on_its_way_bytes(self) -> int:
        """How much waits for its time."""
        return self._queued_bytes

    async def flush(self) -> None:
        """Wait until everything has arrived, as before a goodbye that must not overtake it."""
        await self._empty.wait()

    def _enqueue(self, data: bytes, way: Way) -> None:
        now_s = self._loop.time()
        due_s = now_s + way.delay_s + self._random.random() * way.jitter_s
        if way.bytes_per_s is not None:
            due_s = max(due_s, self._last_s, now_s) + len(data) / way.bytes_per_s
        self._last_s = due_s = max(due_s, self._last_s)  # a stream keeps its order
        self._counts[f"{self._name}.chunks_delayed"] += 1
        self._queue.append((due_s, data))
        self._queued_bytes += len(data)
        self._empty.clear()
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self._room.clear()
        if self._timer is None:
            self._timer = self._loop.call_at(due_s, self._arrive)

    def _arrive(self) -> None:
        if self._way().closed:
            self._timer = self._loop.call_later(CLOSED_LOOK_S, self._arrive)
            return
        now_s = self._loop.time()
        self._timer = None
        while self._queue and self._queue[0][0] <= now_s:
            _, data = self._queue.popleft()
            self._queued_bytes -= len(data)
            self._write(data)
        if self._queued_bytes <= MAX_QUEUED_BYTES:
            self._room.set()
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0][0], self._arrive)
        else:
            self._empty.set()

    def _write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._counts[f"{self._name}.bytes"] += len(data)
            self._writer.write(data)

    def _flipped(self, data: bytes) -> bytes:
        self._counts[f"{self._name}.flipped"] += 1
        damaged = bytearray(data)
        damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)
