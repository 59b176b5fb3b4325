"""The journal's values: keys, frames, appends, cursors, devices.

A journal is partitioned by (tenant, store). A partition is a run of frames with offsets
from 1; its *head* is the newest offset, 0 when it is empty. Offsets have no holes except
where retention took the oldest. Dedup state (the ranges of every stream) is part of the
journal and changes in the same transaction as the frames that change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.sequences import RangeSet

OP_ID_BYTES: Final = 16
OPERATIONS_KEPT: Final = 8
"""Newest operations of a partition that can be read back. One writer waits for the outcome
of an append before it makes the next, so one would do; rivals may have come in between."""

MAX_PARKED_RECORDS: Final = 10_000
"""Parked records one consumer may have; then it stops, since dropping is never silent."""

MAX_PARKED_BYTES: Final = 64 * 1024 * 1024
"""Bytes of parked records one consumer may have."""


@dataclass(frozen=True, slots=True, order=True)
class PartitionKey:
    """What orders frames: one store of one tenant."""

    tenant: str
    store: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.store}"


@dataclass(frozen=True, slots=True, order=True)
class DeviceKey:
    """One device at one (tenant, store)."""

    tenant: str
    store: str
    device: str

    @property
    def partition(self) -> PartitionKey:
        """The partition that the device's frames go to."""
        return PartitionKey(self.tenant, self.store)

    def __str__(self) -> str:
        return f"{self.tenant}/{self.store}/{self.device}"


@dataclass(frozen=True, slots=True, order=True)
class StreamKey:
    """One numbering: an epoch and a lane of a device."""

    tenant: str
    store: str
    device: str
    epoch: int
    lane: str

    @property
    def partition(self) -> PartitionKey:
        """The partition that the stream's frames go to."""
        return PartitionKey(self.tenant, self.store)

    @property
    def device_key(self) -> DeviceKey:
        """The device whose numbering this is."""
        return DeviceKey(self.tenant, self.store, self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFrame:
    """A frame to commit.

    Attributes:
        key: the stream it is committed under; for a fork that is the derived epoch.
        first: first sequence covered.
        span: sequences covered.
        count: events inside; 0 for a gap and for a refused frame.
        digest: first 8 bytes of the SHA-256 of ``data``.
        reason: the :class:`GapReason` when ``count`` is 0, else 0.
        received_ns: when the region got it, its wall clock.
        time_min_ns: no event in it is earlier.
        time_max_ns: no event in it is later.
        zones: zones that occur inside; None where they are too many to be named.
        fork: committed under a derived epoch, since its range was taken by another content.
        data: the frame's bytes as sealed by the device.
        dictionary: name of the one that its columns need, which must be kept; or empty.
    """

    key: StreamKey
    first: int
    span: int
    count: int
    digest: bytes
    received_ns: int
    data: bytes
    dictionary: bytes = b""
    reason: int = 0
    time_min_ns: int = 0
    time_max_ns: int = 0
    zones: tuple[str, ...] | None = ()
    fork: bool = False


@dataclass(frozen=True, slots=True)
class StreamUpdate:
    """The whole new set of settled sequences of a stream. The journal keeps ``ranges``."""

    key: StreamKey
    ranges: RangeSet


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUpdate:
    """What changes about a device with an append; None and 0 leave a field as it is.

    Attributes:
        key: the device.
        forks: how many more forked frames were found.
        epoch_floor: epochs below it are folded from now on.
        seen_ns: when it was last heard.
    """

    key: DeviceKey
    forks: int = 0
    epoch_floor: int = 0
    seen_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Frames for one partition, with the state they were decided upon.

    Attributes:
        partition: where they go; every frame and stream in it belongs there.
        op_id: 16 bytes, new for every append; the outcome can be read back by it.
        expected_head: the head that the decision was made upon.
        frames: in the order in which they get their offsets.
        streams: dedup state that changes with them.
        devices: device state that changes with them.
    """

    partition: PartitionKey
    op_id: bytes
    expected_head: int
    frames: tuple[NewFrame, ...]
    streams: tuple[StreamUpdate, ...] = ()
    devices: tuple[DeviceUpdate, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """The append is durable; ``head`` is the partition's head right after it."""

    head: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Nothing was appended: the partition's head is ``head``, not the expected one."""

    head: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The journal cannot say whether the append is durable: read it back by its op id."""

    why: str


AppendResult = Committed | Conflict | Unknown


# ---------------------------------------------------------------------------- state and reads


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What is settled of a stream (committed or gapped). Treat ``ranges`` as read-only."""

    key: StreamKey
    ranges: RangeSet


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What dedup needs to know of a device.

    Attributes:
        epoch_floor: epochs below it are folded; 0 when none is.
        streams: how many streams the journal keeps for it, folded ones not counted.
        newest_ordinal: the greatest epoch ordinal among them, 0 when there is none.
        forks: forked frames found so far.
        seen_ns: when it was last heard, as far as it was written.
    """

    epoch_floor: int = 0
    streams: int = 0
    newest_ordinal: int = 0
    forks: int = 0
    seen_ns: int = 0


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A kept frame by its stream and first sequence; ``reason`` is 0 when it has events."""

    offset: int
    first: int
    span: int
    count: int
    digest: bytes
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A committed frame; see :class:`NewFrame` for the fields."""

    partition: PartitionKey
    offset: int
    key: StreamKey
    first: int
    span: int
    count: int
    digest: bytes
    reason: int
    received_ns: int
    time_min_ns: int
    time_max_ns: int
    zones: tuple[str, ...] | None
    fork: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class DamagedFrame:
    """A row that failed its checks; it is never served.

    ``key``, ``first`` and ``span`` are None and 0 when they are themselves not to be trusted.
    """

    partition: PartitionKey
    offset: int
    key: StreamKey | None
    first: int
    span: int
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """A run of a partition.

    ``next_offset`` is where the next read starts (one past the last row looked at, so that
    filtered and damaged rows are passed too). ``at_end`` says that there was nothing more.
    """

    frames: tuple[FrameRecord, ...]
    damaged: tuple[DamagedFrame, ...]
    next_offset: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition's bounds: the oldest offset kept (head + 1 when none is) and the head."""

    key: PartitionKey
    oldest: int
    head: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """``offset`` is the first offset that the consumer has not handled yet; starts at 1."""

    generation: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class ConsumerCursor:
    """A cursor as listed: whose, where, since when it has not moved, and how far behind."""

    consumer: str
    partition: PartitionKey
    cursor: Cursor
    updated_ns: int
    lag_frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecord:
    """An event that a sink refuses for good: kept aside, so that the rest goes on.

    Attributes:
        consumer: the forwarder.
        partition: where the event's frame is.
        offset: of the frame.
        index: of the event in the frame, from 0; -1 means the whole frame.
        event_id: the CloudEvents id.
        reason: the sink's answer, in words.
        parked_ns: when.
        body: what was sent, or the frame's bytes; at most 120,000 bytes.
        id: set by the journal.
    """

    consumer: str
    partition: PartitionKey
    offset: int
    index: int
    event_id: str
    reason: str
    parked_ns: int
    body: bytes = b""
    id: int = 0


# ---------------------------------------------------------------------------- housekeeping


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What may go; cursors always win.

    Frames received longer ago than ``max_age_ns``, and the oldest while the journal uses more
    than ``keep_bytes``. None switches a rule off.
    """

    max_age_ns: int | None = None
    keep_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """Frames and their bytes deleted, and the consumers whose cursors held others back."""

    frames: int
    size_bytes: int
    held_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JournalSize:
    """How full a journal is.

    ``used_bytes`` counts towards the cap (pages in use, write-ahead log included),
    ``file_bytes`` is what the files take, ``disk_free_bytes`` what the file system has left
    beyond the reserve; ``full`` says why nothing can be appended now, or is empty.
    """

    used_bytes: int
    file_bytes: int
    max_bytes: int
    disk_free_bytes: int
    full: str

    @property
    def room_bytes(self) -> int:
        """What may still be appended before the cap or the disk says no; 0 when full."""
        if self.full:
            return 0
        return max(0, min(self.max_bytes - self.used_bytes, self.disk_free_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledDevice:
    """A device that may speak (or, with ``removed_ns`` set, did: its dedup state stays).

    Attributes:
        key: tenant, store and device name.
        region: the region that its frames must name.
        public_keys: raw Ed25519 public keys it may sign with.
        enrolled_ns: when it was enrolled.
        removed_ns: when it was removed, or None.
        label: free text of the operator.
        state: what dedup knows of it.
    """

    key: DeviceKey
    region: str
    public_keys: tuple[bytes, ...]
    enrolled_ns: int
    removed_ns: int | None = None
    label: str = ""
    state: DeviceState = DeviceState()
