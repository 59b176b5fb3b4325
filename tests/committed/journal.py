"""A real journal with real frames in it, for tests of whatever reads a journal."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.journal.port import (
    Append,
    Committed,
    Journal,
    NewFrame,
    PartitionKey,
    StreamKey,
    StreamUpdate,
)
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader
from whimbrel_protocol.batch import encode_events
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame, seal_frame
from whimbrel_protocol.header import FrameHeader, InnerGap, name_zones
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet

KEY = PrivateKey(bytes(range(32)))
EPOCH = make_epoch(1, 77)
START_NS = 1_795_341_600_000_000_000  # 2026-11-22T10:00:00Z


def address(store: str = "store-1", device: str = "till-1", tenant: str = "acme") -> Address:
    return Address(tenant=tenant, region="eu-1", store=store, device=device)


def event(number: int, **fields: object) -> Event:
    given: dict[str, object] = {
        "type": "pos.line",
        "source": "till-1",
        "time_ns": START_NS + number * 1_000_000,
        "data": {"number": number, "price": 1.25},
    }
    given.update(fields)
    return Event(**given)  # type: ignore[arg-type]


def events(first: int, count: int, **fields: object) -> list[Event]:
    return [event(number, **fields) for number in range(first, first + count)]


class Committer:
    """Seals events as a device would and commits them as ingest would."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.next_sequence: dict[StreamKey, int] = {}

    async def commit(
        self,
        batches: Iterable[Sequence[Event]],
        where: Address | None = None,
        *,
        epoch: int = EPOCH,
        columns: bytes | None = None,
        gaps: tuple[InnerGap, ...] = (),
    ) -> None:
        """Commit one frame per batch in one append; ``columns`` puts other bytes in."""
        place = where or address()
        partition = PartitionKey(place.tenant, place.store)
        frames = []
        streams: dict[StreamKey, StreamUpdate] = {}
        for batch in batches:
            lane = batch[0].lane if batch else "normal"
            key = StreamKey(place.tenant, place.store, place.device, epoch, lane)
            first = self.next_sequence.get(key, 1)
            span = len(batch) + sum(gap.count for gap in gaps)
            self.next_sequence[key] = first + span
            header = FrameHeader(
                address=place,
                lane=lane,
                epoch=epoch,
                first=first,
                span=span,
                count=len(batch),
                gaps=gaps,
                time_min_s=min((one.time_ns for one in batch), default=0) // 10**9,
                time_max_s=max((one.time_ns for one in batch), default=0) // 10**9,
                clock=ClockQuality.SYNCED,
                zones=name_zones(one.zone for one in batch),
            )
            data = seal_frame(header, columns or encode_events(batch), KEY)
            frames.append(
                NewFrame(
                    key=key,
                    first=first,
                    span=span,
                    count=len(batch),
                    digest=open_frame(data).digest,
                    received_ns=START_NS,
                    data=data,
                    reason=0 if batch else gaps[0].reason,
                    time_min_ns=header.time_min_ns,
                    time_max_ns=header.time_max_ns,
                    zones=header.zones,
                )
            )
            ranges = streams[key].ranges if key in streams else await self._settled(key)
            ranges.add(first, first + span - 1)
            streams[key] = StreamUpdate(key, ranges)
        [head] = await self.journal.heads([partition])
        [result] = await self.journal.append(
            [
                Append(
                    partition=partition,
                    op_id=random.randbytes(16),
                    expected_head=head,
                    frames=tuple(frames),
                    streams=tuple(streams.values()),
                )
            ]
        )
        assert isinstance(result, Committed)

    async def _settled(self, key: StreamKey) -> RangeSet:
        [known] = await self.journal.streams([key])
        return known.ranges.copy() if known else RangeSet()


async def open_journal(path: Path) -> SqliteJournal:
    return await SqliteJournal.open(
        JournalConfig(path=path, min_free_bytes=0),
        clock=SystemClock(),
        random=random.SystemRandom(),
        writer=ThreadRunner("write"),
        reader=ThreadRunner("read"),
    )


def reader_of(journal: Journal, runner: ThreadRunner) -> EventReader:
    return EventReader(journal, runner, SystemClock())
