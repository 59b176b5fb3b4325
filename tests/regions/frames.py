"""Frames as devices seal them, and journal values made from them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

from whimbrel_aggregator.journal.port import (
    Append,
    AppendResult,
    DeviceKey,
    Journal,
    NewFrame,
    PartitionKey,
    StreamKey,
    StreamUpdate,
)
from whimbrel_protocol.epoch import make_epoch
from whimbrel_protocol.frame import seal_frame
from whimbrel_protocol.header import FrameHeader, gap_header
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import GapReason, Order
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet

EPOCH = make_epoch(1, 7)
START_NS = 1_795_341_600_000_000_000


def stream(
    device: str = "till-1", *, store: str = "store-1", lane: str = "normal", epoch: int = EPOCH
) -> StreamKey:
    return StreamKey("acme", store, device, epoch, lane)


def new_frame(
    key: StreamKey,
    first: int,
    span: int = 10,
    *,
    count: int | None = None,
    data: bytes | None = None,
    received_ns: int = START_NS,
    zones: tuple[str, ...] = (),
) -> NewFrame:
    body = data if data is not None else f"{key} {first} {span}".encode()
    events = span if count is None else count
    return NewFrame(
        key=key,
        first=first,
        span=span,
        count=events,
        digest=hashlib.sha256(body).digest()[:8],
        received_ns=received_ns,
        data=body,
        reason=0 if events else int(GapReason.EVICTED),
        time_min_ns=START_NS + first,
        time_max_ns=START_NS + first + span - 1,
        zones=zones,
    )


def append_of(
    frames: Iterable[NewFrame],
    *,
    head: int,
    settled: dict[StreamKey, RangeSet] | None = None,
    op_id: bytes | None = None,
) -> Append:
    """An append of frames of one partition; ``settled`` is what was before, and is added to."""
    given = tuple(frames)
    ranges = {} if settled is None else settled
    for frame in given:
        ranges.setdefault(frame.key, RangeSet()).add(frame.first, frame.first + frame.span - 1)
    touched = dict.fromkeys(frame.key for frame in given)
    return Append(
        partition=given[0].key.partition,
        op_id=random.randbytes(16) if op_id is None else op_id,
        expected_head=head,
        frames=given,
        streams=tuple(StreamUpdate(key, ranges[key].copy()) for key in touched),
    )


async def put(journal: Journal, *frames: NewFrame) -> AppendResult:
    """Append frames of one partition upon the journal's present state."""
    partition: PartitionKey = frames[0].key.partition
    [head] = await journal.heads([partition])
    keys = list(dict.fromkeys(frame.key for frame in frames))
    known = await journal.streams(keys)
    settled = {
        key: record.ranges.copy()
        for key, record in zip(keys, known, strict=True)
        if record is not None
    }
    [result] = await journal.append([append_of(frames, head=head, settled=settled)])
    return result


class Device:
    """A device that seals frames by hand, in any order a test wants."""

    def __init__(
        self,
        name: str = "till-1",
        *,
        store: str = "store-1",
        region: str = "eu-1",
        epoch: int = EPOCH,
        seed: int = 1,
    ) -> None:
        self.address = Address(tenant="acme", region=region, store=store, device=name)
        self.key = PrivateKey(hashlib.sha256(f"{name} {seed}".encode()).digest())
        self.epoch = epoch

    @property
    def device_key(self) -> DeviceKey:
        return DeviceKey(self.address.tenant, self.address.store, self.address.device)

    def stream(self, lane: str = "normal", epoch: int | None = None) -> StreamKey:
        place = self.address
        return StreamKey(place.tenant, place.store, place.device, epoch or self.epoch, lane)

    def frame(
        self,
        first: int,
        count: int = 5,
        *,
        lane: str = "normal",
        order: Order = Order.IN_ORDER,
        epoch: int | None = None,
        content: bytes = b"",
    ) -> bytes:
        header = FrameHeader(
            address=self.address,
            lane=lane,
            order=order,
            epoch=epoch or self.epoch,
            first=first,
            span=count,
            count=count,
            time_min_s=START_NS // 10**9,
            time_max_s=START_NS // 10**9,
        )
        return seal_frame(header, content or b"columns of %d" % first, self.key)

    def gap(
        self,
        first: int,
        span: int = 5,
        *,
        lane: str = "normal",
        order: Order = Order.IN_ORDER,
        reason: GapReason = GapReason.EVICTED,
    ) -> bytes:
        header = gap_header(
            self.address,
            lane=lane,
            order=order,
            epoch=self.epoch,
            first=first,
            span=span,
            reason=reason,
        )
        return seal_frame(header, b"", self.key)
