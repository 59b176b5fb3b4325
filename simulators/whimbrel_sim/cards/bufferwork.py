"""A seeded workload on the shipped buffer, which marks what it was answered.

Marks are lists: a word and values. What is about to be done is marked before, what was answered
after; between the two a crash may leave either.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.buffer.runner import DirectRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import (
    BufferConfig,
    BufferFullError,
    FrameRef,
    LaneConfig,
    Overflow,
)
from whimbrel_agent.ports import SqlRunner
from whimbrel_protocol.epoch import ordinal_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES, GapReason, Order
from whimbrel_protocol.messages import ReceiptEntry, Status

from .till import (
    ADDRESS,
    KEY,
    SECOND_NS,
    BrokenPromiseError,
    HandClock,
    OpeningError,
    receipt,
    sale,
)

Mark = Callable[[list[Any]], None]

LIVE_STEPS: Final = 25

CAP_BYTES: Final = 1024 * 1024
"""The least that a buffer may have: evictions come soon."""

WINDOWED: Final = "bulk"
"""The lane with a durability window, which may lose what the window promises and no more."""

WINDOW_S: Final = 3.0

BUFFER_FILE: Final = "buffer/buffer.db"
"""Inside the watched folder; the buffer makes its own folder."""


async def open_buffer(
    root: Path, clock: HandClock, chance: random.Random, runner: SqlRunner | None = None
) -> Buffer:
    """Open the buffer under a folder as the agent does."""
    lanes = {
        lane: LaneConfig(
            order=Order.LIVE_FIRST,
            linger_s=2.0,
            batch_events=50,
            overflow=overflow,
            durability_s=WINDOW_S if lane == WINDOWED else 0.0,
        )
        for lane, overflow in zip(
            LANES, (Overflow.REFUSE, *[Overflow.DROP_OLDEST] * 3), strict=True
        )
    }
    return await Buffer.open(
        BufferConfig(path=root / BUFFER_FILE, max_bytes=CAP_BYTES, retain_share=0.05, lanes=lanes),
        ADDRESS,
        KEY,
        clock=clock,
        random=chance,
        runner=runner or DirectRunner(),
    )


class BufferWork:
    """One till's life, in steps drawn by chance.

    Args:
        root: the folder on the card.
        mark: where marks go.
        chance: draws everything.
        runner: runs the buffer's work; else directly.
        clock: the till's clocks.
        number: of the first event.
        damages: whether files are spoilt now and then, so that they are salvaged.
    """

    def __init__(
        self,
        root: Path,
        mark: Mark,
        chance: random.Random,
        *,
        runner: SqlRunner | None = None,
        clock: HandClock | None = None,
        number: int = 0,
        damages: bool = False,
    ) -> None:
        self._root = root
        self._mark = mark
        self._chance = chance
        self._runner = runner
        self._damages = damages
        self.clock = clock or HandClock()
        self.number = number
        self._published: dict[str, list[FrameRef]] = {lane: [] for lane in LANES}
        self._buffer: Buffer | None = None
        self._answered: list[tuple[int, list[Any]]] = []

    @property
    def buffer(self) -> Buffer:
        """The open buffer."""
        assert self._buffer is not None
        return self._buffer

    async def open(self, newer_than: Sequence[int] = ()) -> None:
        """Open the buffer.

        Raises:
            BrokenPromiseError: its numbering is no newer than these.
        """
        self._mark(["opening"])
        try:
            self._buffer = await open_buffer(self._root, self.clock, self._chance, self._runner)
        except OSError as error:
            raise OpeningError(str(error)) from error
        newest = max(map(ordinal_of, newer_than), default=0)
        if ordinal_of(self._buffer.epoch) <= newest:
            raise BrokenPromiseError(f"{self._buffer.epoch} is not after start {newest}")
        self._published = {lane: [] for lane in LANES}
        self._answered = []
        self._mark(["opened", self._buffer.epoch])

    async def close(self) -> None:
        """Close the buffer in order."""
        buffer, self._buffer = self.buffer, None
        await buffer.close()
        self._mark(["closed"])
        self._mark_safe(all_of_it=True)

    async def end(self) -> None:
        """Close the buffer if it is open, whatever it says."""
        if self._buffer is not None:
            await self.close()

    async def live(self) -> None:
        """Live shortly, all the usual things, in the order in which chance has them."""
        await self.open()
        for _ in range(LIVE_STEPS):
            await self.step()

    async def run(self, steps: int) -> None:
        """Open, do so many steps, close."""
        await self.open()
        for _ in range(steps):
            await self.step()
        await self.close()

    async def step(self) -> None:
        """Do one thing."""
        drawn = self._chance.random()
        self.clock.advance(self._chance.random())
        if drawn < 0.50:
            await self.accept()
        elif drawn < 0.65:
            self.buffer.look_out(sending=self._chance.random() < 0.5)
            await self.buffer.seal_due(self.clock.mono_ns())
            self._mark_safe()
        elif drawn < 0.70:
            await self.buffer.seal_all()
            self._mark_safe(all_of_it=True)
        elif drawn < 0.84:
            await self.publish(self._chance.choice(LANES))
        elif drawn < 0.97:
            await self.settle(self._chance.choice(LANES))
        else:
            await self.close()
            if self._damages and drawn > 0.985:
                self.damage()
            await self.open()

    async def accept(self) -> None:
        """Give a group of events, some with keys or with a checkpoint."""
        chance = self._chance
        count = chance.choice((1, 1, 2, 5, 12, 25))
        mixed = chance.random() < 0.2
        lane = chance.choice(LANES[1:])
        numbers = range(self.number, self.number + count)
        lanes = [chance.choice(LANES) if mixed else lane for _ in numbers]
        self.number += count
        keys = [b"key-%d" % number for number in numbers] if chance.random() < 0.25 else None
        checkpoint = ("import", b"%d" % self.number) if chance.random() < 0.2 else None
        events: list[Event] = [sale(*one) for one in zip(numbers, lanes, strict=True)]
        at_once = keys is not None or checkpoint is not None
        loose = [
            number
            for number, name in zip(numbers, lanes, strict=True)
            if name == WINDOWED and not at_once
        ]
        self._mark(
            ["offer", list(numbers), bool(keys), checkpoint and checkpoint[1].decode(), loose]
        )
        try:
            places = await self.buffer.accept(events, keys=keys, checkpoint=checkpoint)
        except BufferFullError:
            self._mark(["full"])
            return
        self._mark(["accepted", [list(place[:3]) for place in places]])
        windowed = [list(place[:3]) for place in places if place.lane == WINDOWED]
        if windowed:
            self._mark_safe(all_of_it=at_once)
            self._answered += [(self.clock.mono_ns(), place) for place in windowed]
            self._mark_safe(all_of_it=at_once)

    def _mark_safe(self, *, all_of_it: bool = False) -> None:
        """Mark what of the lane with a window must be durable by now, by what the window promises."""
        over_ns = self.clock.mono_ns() - int(WINDOW_S * SECOND_NS)
        safe = [place for at_ns, place in self._answered if all_of_it or at_ns <= over_ns]
        if safe:
            self._answered = self._answered[len(safe) :]
            self._mark(["safe", safe[-1]])

    async def publish(self, lane: str) -> None:
        """Mark frames as perhaps published, then "send" them."""
        after = self._published[lane][-1].id if self._published[lane] else 0
        refs = await self.buffer.pending(lane, after, self._chance.randint(1, 9))
        if not refs:
            return
        data = await self.buffer.load_to_send(refs)
        sent = [ref for ref, frame in zip(refs, data, strict=True) if frame is not None]
        self._mark(["published", [_frame_mark(ref) for ref in sent]])
        self._published[lane] += sent

    async def settle(self, lane: str) -> None:
        """Let the region answer some frames, now and then twice or with a wrong digest."""
        chance = self._chance
        refs = self._published[lane]
        chosen = refs[: chance.randint(0, min(12, len(refs)))]
        if not chosen:
            return
        entries = []
        for ref in chosen:
            status, reason = Status.COMMITTED, 0
            if ref.count and chance.random() < 0.1:
                status, reason = Status.GAPPED, int(GapReason.REFUSED)
            entries.append(
                ReceiptEntry(ref.epoch, ref.lane, ref.first, ref.span, ref.digest, status, reason)
            )
        marks = [_frame_mark(ref) for ref in chosen]
        self._mark(["receipt", marks])
        result = await self.buffer.settle(receipt(tuple(entries)))
        # one that was dropped since it was sent is a gap now, which this receipt does not name
        freed = [mark for ref, mark in zip(chosen, marks, strict=True) if ref.id in result.freed]
        self._mark(["settled", freed])
        if chance.random() < 0.9:
            del refs[: len(chosen)]

    def damage(self) -> None:
        """Spoil some bytes of the closed file, durably: the next opening salvages."""
        path = self._root / BUFFER_FILE
        self._mark(["damaging"])
        with path.open("r+b", buffering=0) as file:
            size = file.seek(0, 2)
            for _ in range(self._chance.randint(1, 3)):
                file.seek(self._chance.randrange(512, size))
                file.write(self._chance.randbytes(16))
            os.fsync(file.fileno())
        self._mark(["damaged"])


def _frame_mark(ref: FrameRef) -> list[Any]:
    return [ref.epoch, ref.lane, ref.first, ref.span, ref.digest.hex()]
