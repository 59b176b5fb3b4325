"""Reading: committed frames turned back into events for whoever consumes them.

Everybody before this point handles frames as bytes. Here columns are decoded, in slices, in a
thread, so that the event loop stays responsive. A frame whose columns do not decode is never
served in part: it is kept aside once for all consumers (parked under :data:`QUARANTINE`), its
whole range accounted as UNREADABLE, and the rest goes on.

An event's identity is (tenant, store, device, epoch, lane, sequence). Its CloudEvents id is the
producer's own (``dedup_key``) where it gave one, else that identity written out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from whimbrel_aggregator.journal.port import (
    DamagedFrame,
    DeviceKey,
    FrameRecord,
    Journal,
    Page,
    ParkedRecord,
    PartitionKey,
)
from whimbrel_aggregator.ports import Clock, Runner
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.dictionaries import (
    NO_DICTIONARIES,
    Dictionaries,
    Dictionary,
    UnknownDictionaryError,
)
from whimbrel_protocol.errors import FieldError, ProtocolError, RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import ClockQuality, GapReason
from whimbrel_protocol.names import Address

Row = FrameRecord | DamagedFrame

Shelves = dict[DeviceKey, dict[bytes, Dictionary]]
"""Dictionaries in memory, by device and name."""

QUARANTINE: Final = "unreadable"
"""The consumer under whose name unreadable frames are parked; no forwarder may be called so."""

READ_FRAMES: Final = 64
READ_BYTES: Final = 512 * 1024
"""What one read of the journal brings into memory, compressed; a few frames at the least."""

DECODE_BYTES: Final = 32 * 1024
DECODE_EVENTS: Final = 1_000
"""Compressed bytes and events decoded per visit to the thread, one frame at the least: some
twenty milliseconds, and about 1 MB of objects beside the caller's own batch."""

MAX_DICTIONARIES_BYTES: Final = 16 * 1024 * 1024
"""Dictionaries in memory, ready for use: 170 without tables, 10 with the largest ones."""

_POSITION: Final = re.compile(r"(\d{1,18})\.(\d{1,5})", re.ASCII)


class UnreadableFrameError(ProtocolError):
    """A committed frame whose columns cannot be decoded, or do not fit its header."""


class MissingDictionaryError(UnreadableFrameError):
    """Its columns need a dictionary that was not given: get it, and decode again.

    Attributes:
        named: the device and the dictionary's name.
    """

    def __init__(self, record: FrameRecord, error: UnknownDictionaryError) -> None:
        super().__init__(f"frame does not decode: {error}")
        self.named = (record.key.device_key, error.name)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a partition: the frame's offset and the event's place in it, from 0."""

    offset: int
    place: int = 0

    def __str__(self) -> str:
        return f"{self.offset}.{self.place}"

    @classmethod
    def from_text(cls, field: str, text: str) -> Position:
        """Read what ``str()`` gave.

        Raises:
            FieldError: it is something else.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise FieldError(field, text, "must be a frame offset and a place such as 17.0")
        return cls(int(match[1]), int(match[2]))


START: Final = Position(1, 0)
"""Offsets start at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedEvent:
    """An event as the journal has it.

    Attributes:
        event: what the producer said.
        id: its CloudEvents id.
        address: the device it came from.
        epoch: the numbering; for a fork the derived one.
        sequence: its number in (device, epoch, lane).
        position: where it is in its partition.
        received_ns: when the region got its frame.
        clock: what the device knew about its wall clock.
        fork: its frame repeats a range with other content (cloned card, restored image).
    """

    event: Event
    id: str
    address: Address
    epoch: int
    sequence: int
    position: Position
    received_ns: int
    clock: ClockQuality
    fork: bool

    @property
    def partition(self) -> PartitionKey:
        """The partition that it belongs to."""
        return PartitionKey(self.address.tenant, self.address.store)

    @property
    def identity(self) -> str:
        """What no other event in the region has, as text."""
        return identity(self.address, self.epoch, self.event.lane, self.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """What one journal row holds for a consumer.

    Attributes:
        offset: of the row.
        events: in their order; empty for gaps and for what could not be read.
        unreadable: why nothing could be read, or empty.
        first: first sequence covered; 0 when the row itself is damaged.
        span: sequences covered; 0 when the row itself is damaged.
    """

    offset: int
    events: tuple[CommittedEvent, ...] = ()
    unreadable: str = ""
    first: int = 0
    span: int = 0


def identity(address: Address, epoch: int, lane: str, sequence: int) -> str:
    """Return the region-wide identity of one event."""
    return f"{address.tenant}/{address.store}/{address.device}/{epoch}/{lane}/{sequence}"


def decode_record(
    record: FrameRecord, dictionaries: Dictionaries = NO_DICTIONARIES
) -> tuple[CommittedEvent, ...]:
    """Return the events of a committed frame; none for a gap or a refused frame.

    Args:
        record: as the journal has it.
        dictionaries: those of its device that are at hand.

    Raises:
        MissingDictionaryError: it needs another one.
        UnreadableFrameError: columns or header do not give what the frame promises.
    """
    if record.count == 0:
        return ()
    try:
        frame = open_frame(record.data)
        events = decode_events(frame.columns, dictionaries)
    except UnknownDictionaryError as error:
        raise MissingDictionaryError(record, error) from error
    except ProtocolError as error:
        raise UnreadableFrameError(f"frame does not decode: {error}") from error
    header, key = frame.header, record.key
    if len(events) != record.count or header.count != record.count:
        raise UnreadableFrameError(
            f"columns hold {len(events)} events, the header says {header.count} and the journal "
            f"{record.count}"
        )
    stem = identity(header.address, key.epoch, key.lane, 0)[:-1]
    return tuple(
        CommittedEvent(
            # the signed header's lane is the one whose numbering this is
            event=event if event.lane == key.lane else replace(event, lane=key.lane),
            id=f"{stem}{sequence}" if event.dedup_key is None else event.dedup_key,
            address=header.address,
            epoch=key.epoch,
            sequence=sequence,
            position=Position(record.offset, place),
            received_ns=record.received_ns,
            clock=header.clock,
            fork=record.fork,
        )
        for place, (event, sequence) in enumerate(zip(events, header.sequences(), strict=True))
    )


class EventReader:
    """Decodes pages of the journal for consumers, and keeps aside what does not decode."""

    def __init__(self, journal: Journal, runner: Runner, clock: Clock) -> None:
        self._journal = journal
        self._runner = runner
        self._clock = clock
        self.unreadable_frames = 0
        self._shelves: Shelves = {}

    async def decode(
        self, page: Page, wanted: Callable[[FrameRecord], bool] | None = None
    ) -> AsyncIterator[DecodedFrame]:
        """Yield every row of a page in order, decoded.

        Args:
            page: as the journal gave it.
            wanted: frames it says no to are passed without decoding, as if they were empty.

        Raises:
            ParkedFullError: an unreadable frame has no room left in the quarantine.
        """
        rows: list[Row] = [*page.frames, *page.damaged]
        rows.sort(key=lambda row: row.offset)
        for group in _groups(rows):
            for row, frame in await self._decoded(group, wanted):
                if frame.unreadable:
                    await self._set_aside(row, frame)
                yield frame

    async def _decoded(
        self, group: list[Row], wanted: Callable[[FrameRecord], bool] | None
    ) -> list[tuple[Row, DecodedFrame]]:
        """Decode rows; once more where a dictionary had to be read from the journal first."""
        missing: set[tuple[DeviceKey, bytes]] = set()
        work = partial(_decode_group, group, wanted, self._shelves, missing)
        decoded = await self._runner.run(work)
        if missing and await self._load(list(missing)):
            decoded = await self._runner.run(work)
        return decoded

    async def _load(self, missing: list[tuple[DeviceKey, bytes]]) -> bool:
        found = False
        held = (one for shelf in self._shelves.values() for one in shelf.values())
        if sum(one.memory_bytes for one in held) > MAX_DICTIONARIES_BYTES:
            self._shelves.clear()
        contents = await self._journal.dictionaries(missing)
        for (device, name), content in zip(missing, contents, strict=True):
            if content is None:
                continue
            try:
                self._shelves.setdefault(device, {})[name] = Dictionary(content)
            except RemoteProtocolError:
                continue  # the frame is unreadable, and says which one it needs
            found = True
        return found

    async def _set_aside(self, row: Row, frame: DecodedFrame) -> None:
        """Account the range once, durably; the journal keeps one record however often we read."""
        self.unreadable_frames += 1
        key = row.key
        stream = "unknown" if key is None else f"{key.device}/{key.epoch}/{key.lane}"
        record = ParkedRecord(
            consumer=QUARANTINE,
            partition=row.partition,
            offset=row.offset,
            index=-1,
            event_id=f"{row.partition}/{stream}/{row.first}+{row.span}",
            reason=f"{GapReason.UNREADABLE.name.lower()}: {frame.unreadable}",
            parked_ns=self._clock.wall_ns(),
            body=row.data if isinstance(row, FrameRecord) else b"",
        )
        await self._journal.park([record])


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size_bytes = count = 0
    for row in rows:
        group.append(row)
        if isinstance(row, FrameRecord):
            size_bytes += len(row.data)
            count += row.count
        if size_bytes >= DECODE_BYTES or count >= DECODE_EVENTS:
            yield group
            group, size_bytes, count = [], 0, 0
    if group:
        yield group


def _decode_group(
    rows: Sequence[Row],
    wanted: Callable[[FrameRecord], bool] | None,
    shelves: Shelves,
    missing: set[tuple[DeviceKey, bytes]],
) -> list[tuple[Row, DecodedFrame]]:
    return [(row, _decode_row(row, wanted, shelves, missing)) for row in rows]


def _decode_row(
    row: Row,
    wanted: Callable[[FrameRecord], bool] | None,
    shelves: Shelves,
    missing: set[tuple[DeviceKey, bytes]],
) -> DecodedFrame:
    if isinstance(row, DamagedFrame):
        return DecodedFrame(offset=row.offset, first=row.first, span=row.span, unreadable=row.why)
    if wanted is not None and not wanted(row):
        return DecodedFrame(offset=row.offset, first=row.first, span=row.span)
    try:
        events = decode_record(row, shelves.get(row.key.device_key, NO_DICTIONARIES))
    except UnreadableFrameError as error:
        if isinstance(error, MissingDictionaryError):
            missing.add(error.named)
        return DecodedFrame(
            offset=row.offset, first=row.first, span=row.span, unreadable=str(error)
        )
    return DecodedFrame(offset=row.offset, first=row.first, span=row.span, events=events)
