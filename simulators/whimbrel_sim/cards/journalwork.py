"""A seeded workload on the shipped journal, which marks what it was answered.

See :mod:`.bufferwork` for the marks. A committed answer is what a receipt would say.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import (
    Append,
    Committed,
    Cursor,
    DeviceKey,
    DeviceUpdate,
    EnrolledDevice,
    JournalError,
    JournalFullError,
    NewFrame,
    PartitionKey,
    RetentionPolicy,
    StreamKey,
    StreamUpdate,
)
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.frame import open_frame, seal_frame
from whimbrel_protocol.header import FrameHeader, name_zones
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet

from .boots import RegionClock
from .till import START_NS, BrokenPromiseError, HandClock, OpeningError, sale

Mark = Callable[[list[Any]], None]

JOURNAL_FILE: Final = "journal/journal.db"
LIVE_STEPS: Final = 20

CAP_BYTES: Final = 2 * 1024 * 1024
"""An eighth of it is the log's limit: checkpoints come soon."""

KEEP_BYTES: Final = 250_000
STORES: Final = ("store-1", "store-2")
DEVICES: Final = ("till-1", "till-2")
CONSUMER: Final = "files"


async def open_journal(root: Path, clock: HandClock, chance: random.Random) -> SqliteJournal:
    """Open the journal under a folder as the aggregator does."""
    return await SqliteJournal.open(
        JournalConfig(path=root / JOURNAL_FILE, max_bytes=CAP_BYTES, min_free_bytes=0),
        clock=RegionClock(clock),
        random=chance,
        writer=DirectRunner(),
        reader=DirectRunner(),
    )


def key_of(device: DeviceKey) -> PrivateKey:
    """Return the key that a device signs with."""
    return PrivateKey(hashlib.sha256(str(device).encode()).digest())


@lru_cache(maxsize=4096)
def frame_of(stream: StreamKey, first: int, span: int) -> NewFrame:
    """Return the one frame that a stream has for a range."""
    events = [sale(first + number, stream.lane) for number in range(span)]
    times = [event.time_ns for event in events]
    address = Address(tenant=stream.tenant, region="eu-1", store=stream.store, device=stream.device)
    header = FrameHeader(
        address=address,
        lane=stream.lane,
        epoch=stream.epoch,
        first=first,
        span=span,
        count=span,
        time_min_s=min(times) // 10**9,
        time_max_s=max(times) // 10**9,
        zones=name_zones(event.zone for event in events),
    )
    data = seal_frame(header, encode_events(events), key_of(stream.device_key))
    frame = open_frame(data)
    return NewFrame(
        key=stream,
        first=first,
        span=span,
        count=span,
        digest=frame.digest,
        received_ns=START_NS + first,
        data=data,
        time_min_ns=frame.header.time_min_ns,
        time_max_ns=frame.header.time_max_ns,
        zones=frame.header.zones,
    )


class JournalWork:
    """One region's life, in steps drawn by chance. See :class:`.bufferwork.BufferWork`."""

    def __init__(
        self,
        root: Path,
        mark: Mark,
        chance: random.Random,
        *,
        clock: HandClock | None = None,
        ordinal: int = 1,
    ) -> None:
        self._root = root
        self._mark = mark
        self._chance = chance
        self.clock = clock or HandClock()
        self._ordinal = ordinal
        self._journal: SqliteJournal | None = None

    @property
    def journal(self) -> SqliteJournal:
        """The open journal."""
        assert self._journal is not None
        return self._journal

    async def open(self) -> None:
        """Open the journal."""
        self._mark(["opening"])
        try:
            self._journal = await open_journal(self._root, self.clock, self._chance)
        except OSError as error:
            raise OpeningError(str(error)) from error
        self._mark(["opened", self._journal.generation.hex()])

    async def close(self) -> None:
        """Close the journal in order."""
        journal, self._journal = self.journal, None
        await journal.close()

    async def end(self) -> None:
        """Close the journal if it is open."""
        if self._journal is not None:
            await self.close()

    async def begin(self) -> None:
        """Open a new journal, enrol the devices, attach a consumer."""
        await self.open()
        for store in STORES:
            for name in DEVICES:
                await self.enrol(DeviceKey("acme", store, name))
        await self.journal.attach(CONSUMER)
        self._mark(["attached"])

    async def live(self) -> None:
        """Live shortly."""
        await self.begin()
        for _ in range(LIVE_STEPS):
            await self.step()

    async def run(self, steps: int) -> None:
        """Begin, do so many steps, close."""
        await self.begin()
        for _ in range(steps):
            await self.step()
        await self.close()

    async def step(self) -> None:
        """Do one thing."""
        drawn = self._chance.random()
        self.clock.advance(self._chance.random())
        if drawn < 0.70:
            await self.append()
        elif drawn < 0.82:
            await self.move_cursor(self._chance.choice(STORES))
        elif drawn < 0.87:
            await self.retain()
        elif drawn < 0.90:
            await self.fold(self._device(self._chance.choice(STORES)))
        elif drawn < 0.92:
            self._ordinal += 1  # the devices have begun anew
        elif drawn < 0.95:
            await self.enrol(self._device(self._chance.choice(STORES)))
        elif drawn < 0.96:
            await self.back_up()
        elif drawn < 0.98:
            await self.journal.checkpoint()
        else:
            await self.close()
            await self.open()

    def _device(self, store: str) -> DeviceKey:
        return DeviceKey("acme", store, self._chance.choice(DEVICES))

    async def append(self) -> None:
        """Commit frames of one store or of two in one group."""
        stores = self._chance.sample(STORES, self._chance.choice((1, 1, 2)))
        appends = [await self._append_of(store) for store in stores]
        self._mark(["append", [_append_mark(append) for append in appends]])
        try:
            results = await self.journal.append(appends)
        except JournalFullError:
            self._mark(["full"])
            return
        if not all(isinstance(result, Committed) for result in results):
            # as ingest does: what is unknown is read back, and goes by that
            pairs = [(append.partition, append.op_id) for append in appends]
            results = [await self.journal.outcome(*pair) for pair in pairs]
        happened = [isinstance(result, Committed) for result in results]
        if any(happened) != all(happened):
            raise BrokenPromiseError(f"of one group only a part was committed: {results}")
        self._mark(["committed" if all(happened) else "undone"])

    async def _append_of(self, store: str) -> Append:
        chance = self._chance
        partition = PartitionKey("acme", store)
        (head,) = await self.journal.heads([partition])
        frames: list[NewFrame] = []
        ranges: dict[StreamKey, RangeSet] = {}
        for _ in range(chance.choice((1, 1, 2, 4))):
            lane = chance.choice(("normal", "high"))
            device = self._device(store)
            epoch = make_epoch(self._ordinal, 7)
            stream = StreamKey("acme", store, device.device, epoch, lane)
            if stream not in ranges:
                (known,) = await self.journal.streams([stream])
                ranges[stream] = RangeSet() if known is None else known.ranges.copy()
            first, span = ranges[stream].last + 1, chance.choice((1, 3, 8))
            frames.append(frame_of(stream, first, span))
            ranges[stream].add(first, first + span - 1)
        return Append(
            partition=partition,
            op_id=chance.randbytes(16),
            expected_head=head,
            frames=tuple(frames),
            streams=tuple(StreamUpdate(stream, found) for stream, found in ranges.items()),
            devices=(DeviceUpdate(key=frames[0].key.device_key, seen_ns=self.clock.wall_ns()),),
        )

    async def move_cursor(self, store: str) -> None:
        """Move a consumer's cursor on."""
        partition = PartitionKey("acme", store)
        (head,) = await self.journal.heads([partition])
        present = await self.journal.cursor(CONSUMER, partition)
        offset = self._chance.randint(present.offset, max(present.offset, head + 1))
        self._mark(["cursor", store, offset])
        await self.journal.put_cursor(CONSUMER, partition, Cursor(self.journal.generation, offset))
        self._mark(["moved", store, offset])

    async def retain(self) -> None:
        """Let the oldest frames go."""
        self._mark(["retaining"])
        await self.journal.retain(RetentionPolicy(keep_bytes=KEEP_BYTES), self.clock.wall_ns())
        states = await self.journal.partitions()
        self._mark(["retained", [[state.key.store, state.oldest] for state in states]])

    async def fold(self, device: DeviceKey) -> None:
        """Fold a device's oldest epochs."""
        self._mark(["fold", list(_device_mark(device))])
        floor = await self.journal.fold(device, 4)
        self._mark(["folded", list(_device_mark(device)), floor])

    async def enrol(self, device: DeviceKey) -> None:
        """Enrol a device, or give it another label."""
        label = f"label {self._chance.getrandbits(16)}"
        self._mark(["enrol", list(_device_mark(device)), label])
        await self.journal.enrol(
            EnrolledDevice(
                key=device,
                region="eu-1",
                public_keys=(key_of(device).public.raw,),
                enrolled_ns=START_NS,
                label=label,
            )
        )
        self._mark(["enrolled", list(_device_mark(device)), label])

    async def back_up(self) -> None:
        """Write a backup beside the journal."""
        name = f"backup-{self._chance.getrandbits(32):08x}.db"
        self._mark(["backup", name])
        try:
            await self.journal.backup(str(self._root / "journal" / name))
        except JournalError:
            self._mark(["failed"])
            return
        self._mark(["backed", name])


def _device_mark(device: DeviceKey) -> tuple[str, str]:
    return device.store, device.device


def _append_mark(append: Append) -> list[Any]:
    frames = [
        [frame.key.device, frame.key.epoch, frame.key.lane, frame.first, frame.span]
        for frame in append.frames
    ]
    return [append.partition.store, append.op_id.hex(), append.expected_head, frames]
