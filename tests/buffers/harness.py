"""A real buffer on real files, with clocks and chance that a test holds in its hand."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from whimbrel_agent.buffer.runner import DirectRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig, FrameRef
from whimbrel_agent.ports import SqlRunner
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.messages import (
    Credit,
    Receipt,
    ReceiptEntry,
    ResumeAnswer,
    Status,
    StreamState,
)
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
KEY = PrivateKey(bytes(range(32)))
SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
GENERATION = b"gen-0001"


@dataclass
class HandClock:
    """Clocks that stand still until a test moves them."""

    mono: int = 5 * SECOND_NS
    wall: int = START_NS
    boot_id: bytes = b"bt01"

    def wall_ns(self) -> int:
        return self.wall

    def mono_ns(self) -> int:
        return self.mono

    def quality(self) -> ClockQuality:
        return ClockQuality.SYNCED

    def advance(self, seconds: float) -> None:
        self.mono += int(seconds * SECOND_NS)
        self.wall += int(seconds * SECOND_NS)


@dataclass
class Shop:
    """Opens buffers on one path, as successive processes would."""

    path: Path
    clock: HandClock = field(default_factory=HandClock)
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    runner: SqlRunner = field(default_factory=DirectRunner)
    address: Address = ADDRESS

    def config(self, **settings: object) -> BufferConfig:
        return BufferConfig(path=self.path, **settings)  # type: ignore[arg-type]

    async def start(self, **settings: object) -> Buffer:
        return await Buffer.open(
            self.config(**settings),
            self.address,
            KEY,
            clock=self.clock,
            random=self.chance,
            runner=self.runner,
        )

    @asynccontextmanager
    async def buffer(self, **settings: object) -> AsyncIterator[Buffer]:
        buffer = await self.start(**settings)
        try:
            yield buffer
        finally:
            await buffer.close()


def sale(number: int, *, lane: str = "normal", note: str = "") -> Event:
    """One till line of about 120 bytes as JSON; the number makes it unlike any other."""
    chance = random.Random(number)
    data: dict[str, object] = {
        "sku": f"A{chance.randrange(5000):05d}",
        "qty": chance.randrange(1, 5),
        "price": chance.randrange(99, 9999) / 100,
        "number": number,
    }
    if note:
        data["note"] = note
    return Event(
        type="pos.line",
        source=f"till-{number % 3}",
        time_ns=START_NS + number * 37_000_000,
        data=data,
        zone="front",
        lane=lane,
    )


def sales(count: int, start: int = 0, *, lane: str = "normal") -> list[Event]:
    return [sale(number, lane=lane) for number in range(start, start + count)]


def numbers_of(events: Sequence[Event]) -> list[int]:
    return [event.data["number"] for event in events]


async def kept_numbers(buffer: Buffer) -> list[int]:
    """Numbers of all events still in the buffer, in its own order."""
    return [exported.event.data["number"] async for exported in buffer.export()]


async def all_pending(buffer: Buffer, lane: str = "normal") -> list[FrameRef]:
    return await buffer.pending(lane, 0, 1_000_000)


def receipt_for(
    refs: Sequence[FrameRef],
    status: Status = Status.COMMITTED,
    *,
    reason: int = 0,
    generation: bytes = GENERATION,
) -> Receipt:
    """The region's word on some frames, as if verified."""
    return Receipt(
        address=refs[0].address if refs else ADDRESS,
        generation=generation,
        entries=tuple(
            ReceiptEntry(ref.epoch, ref.lane, ref.first, ref.span, ref.digest, status, reason)
            for ref in refs
        ),
        received_ns=START_NS,
        sent_ns=START_NS,
        credit=Credit(1 << 20, 60),
    )


def answer(*streams: StreamState, generation: bytes = GENERATION, floor: int = 0) -> ResumeAnswer:
    """A resume answer, as if verified."""
    return ResumeAnswer(
        address=ADDRESS,
        nonce=bytes(16),
        generation=generation,
        version=1,
        epoch_floor=floor,
        streams=streams,
        echo_sent_ns=START_NS,
        received_ns=START_NS,
        sent_ns=START_NS,
        credit=Credit(1 << 20, 60),
    )


async def assert_sound(buffer: Buffer) -> None:
    """Fail with the problems that ``verify`` finds."""
    report = await buffer.verify()
    assert report.problems == (), report.problems
