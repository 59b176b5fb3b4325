"""The journal as the rest of the aggregator sees it.

Values are in :mod:`.values`, errors in :mod:`.errors`. Whoever implements this passes
``tests/contracts/test_journal_contract.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .errors import (
    CursorGenerationError,
    JournalDamagedError,
    JournalError,
    JournalFailedError,
    JournalFullError,
    JournalInUseError,
    JournalVersionError,
    ParkedFullError,
    UnknownConsumerError,
)
from .values import (
    MAX_PARKED_BYTES,
    MAX_PARKED_RECORDS,
    OP_ID_BYTES,
    OPERATIONS_KEPT,
    Append,
    AppendResult,
    Committed,
    Conflict,
    ConsumerCursor,
    Cursor,
    DamagedFrame,
    DeviceKey,
    DeviceState,
    DeviceUpdate,
    EnrolledDevice,
    FrameRecord,
    IndexEntry,
    JournalSize,
    NewFrame,
    Page,
    ParkedRecord,
    PartitionKey,
    PartitionState,
    RetentionPolicy,
    RetentionResult,
    StreamKey,
    StreamRecord,
    StreamUpdate,
    Unknown,
)

__all__ = [
    "MAX_PARKED_BYTES",
    "MAX_PARKED_RECORDS",
    "OPERATIONS_KEPT",
    "OP_ID_BYTES",
    "Append",
    "AppendResult",
    "Committed",
    "Conflict",
    "ConsumerCursor",
    "Cursor",
    "CursorGenerationError",
    "DamagedFrame",
    "DeviceKey",
    "DeviceState",
    "DeviceUpdate",
    "EnrolledDevice",
    "FrameRecord",
    "IndexEntry",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFailedError",
    "JournalFullError",
    "JournalInUseError",
    "JournalSize",
    "JournalVersionError",
    "NewFrame",
    "Page",
    "ParkedFullError",
    "ParkedRecord",
    "PartitionKey",
    "PartitionState",
    "RetentionPolicy",
    "RetentionResult",
    "StreamKey",
    "StreamRecord",
    "StreamUpdate",
    "Unknown",
    "UnknownConsumerError",
]


class Journal(Protocol):
    """An append-only, partitioned record of frames. Every method may raise :class:`JournalError`; none blocks the loop."""

    @property
    def generation(self) -> bytes:
        """Eight bytes, new after every restore."""
        ...

    # ---- appending and what appending is decided upon

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        """Make all appends durable in one group; one result each, in order.

        A conflict in one partition does not touch the others. A partition may occur once. A
        dictionary that a frame names must be kept, else the whole group is refused.

        Raises:
            JournalFullError: the cap is reached or the disk is full; nothing was appended.
        """
        ...

    async def outcome(self, partition: PartitionKey, op_id: bytes) -> AppendResult:
        """Say what became of an append.

        Committed with the head right after it, or Conflict with the present head when it is
        none of the partition's newest ``OPERATIONS_KEPT``.
        """
        ...

    async def heads(self, partitions: Sequence[PartitionKey]) -> list[int]:
        """Return the head of each partition, 0 for one that is not known."""
        ...

    async def streams(self, keys: Sequence[StreamKey]) -> list[StreamRecord | None]:
        """Return what is settled of each stream; None for one that is not known."""
        ...

    async def device_states(self, keys: Sequence[DeviceKey]) -> list[DeviceState]:
        """Return the dedup side of each device, empty for one that is not known."""
        ...

    async def find(self, wanted: Sequence[tuple[StreamKey, int, int]]) -> list[IndexEntry | None]:
        """Return, for each (stream, first, last), the first kept frame that overlaps it."""
        ...

    async def ending_at(self, wanted: Sequence[tuple[StreamKey, int]]) -> list[IndexEntry | None]:
        """Return, for each (stream, last), the kept frame whose last sequence that is."""
        ...

    async def fold(self, device: DeviceKey, keep: int) -> int:
        """Fold a device's oldest epochs; return the new epoch floor.

        Stops when at most ``keep`` streams are left, or only those of the newest ordinal.
        """
        ...

    async def keep_dictionary(self, device: DeviceKey, content: bytes, *, needed: bool) -> bool:
        """Keep a dictionary durably for a device; False when there is no room for one more.

        It stays as long as a kept frame names it, and beyond until room is needed. ``needed``:
        frames that name it wait on the device, so twice as many have room.
        """
        ...

    async def dictionaries(self, wanted: Sequence[tuple[DeviceKey, bytes]]) -> list[bytes | None]:
        """Return the content of each (device, name); None where it is not kept, or damaged."""
        ...

    # ---- reading

    async def partitions(self) -> list[PartitionState]:
        """Return every partition, in key order."""
        ...

    async def read(
        self,
        partition: PartitionKey,
        offset: int,
        *,
        limit_frames: int = 256,
        limit_bytes: int = 4 * 1024 * 1024,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Page:
        """Return frames from ``offset`` on (a smaller one than the oldest starts there).

        At least one row is looked at whatever ``limit_bytes`` says. With ``since_ns`` or
        ``until_ns`` frames with no event time in ``since_ns <= t < until_ns`` are left out.
        """
        ...

    async def offset_at(self, partition: PartitionKey, received_ns: int) -> int:
        """Return the offset of the first frame received at or after a time; head + 1 if none."""
        ...

    async def wait_beyond(self, partition: PartitionKey, offset: int, timeout_s: float) -> bool:
        """Wait until the head is at ``offset`` or beyond; False when the time ran out."""
        ...

    async def wait_any(self, seen: int, timeout_s: float) -> int:
        """Wait until the journal's commit counter differs from ``seen``; return the counter.

        The counter starts at 0 when the journal is opened and grows with every committed group.
        """
        ...

    # ---- consumers

    async def attach(self, consumer: str) -> None:
        """Make a consumer known: from now on retention keeps what it has not handled."""
        ...

    async def cursor(self, consumer: str, partition: PartitionKey) -> Cursor:
        """Return a consumer's cursor; at the start when it has none in this partition yet.

        Raises:
            UnknownConsumerError: it is not attached.
            CursorGenerationError: the cursor is of another generation.
        """
        ...

    async def put_cursor(self, consumer: str, partition: PartitionKey, cursor: Cursor) -> None:
        """Store a consumer's position durably; it never goes back.

        Raises:
            UnknownConsumerError: it is not attached.
            CursorGenerationError: ``cursor`` or the stored one is of another generation.
        """
        ...

    async def cursors(self) -> list[ConsumerCursor]:
        """Return every cursor of every consumer, of any generation."""
        ...

    async def consumers(self) -> list[str]:
        """Return the names of the attached consumers."""
        ...

    async def rebind(self, consumer: str, *, offset: int | None = None) -> None:
        """Bind a consumer's cursors to the present generation, an operator's explicit act.

        ``offset`` sets all of them, bounded by each partition's head + 1 (1 re-reads all).
        """
        ...

    async def detach(self, consumer: str) -> None:
        """Forget a consumer and its cursors, an operator's explicit act."""
        ...

    async def park(self, records: Sequence[ParkedRecord]) -> None:
        """Keep events aside that a sink refuses for good; a repeated one is kept once.

        Raises:
            ParkedFullError: the consumer has ``MAX_PARKED_RECORDS`` or ``MAX_PARKED_BYTES``.
        """
        ...

    async def parked(
        self, consumer: str | None = None, *, after_id: int = 0, limit: int = 100
    ) -> list[ParkedRecord]:
        """Return parked records in order of their ids."""
        ...

    async def unpark(self, ids: Sequence[int]) -> int:
        """Forget parked records; return how many there were."""
        ...

    # ---- enrolment

    async def devices(self) -> list[EnrolledDevice]:
        """Return every device, removed ones included, in key order."""
        ...

    async def device(self, key: DeviceKey) -> EnrolledDevice | None:
        """Return one device."""
        ...

    async def enrol(self, device: EnrolledDevice) -> None:
        """Enrol a device, or replace its keys, region and label; dedup state is kept."""
        ...

    async def remove(self, key: DeviceKey, removed_ns: int) -> bool:
        """Take a device's right to speak; False when it is not enrolled."""
        ...

    # ---- housekeeping

    async def size(self) -> JournalSize:
        """Return how full the journal is."""
        ...

    async def retain(self, policy: RetentionPolicy, now_ns: int) -> RetentionResult:
        """Delete what the policy lets go and no cursor holds; in bounded steps."""
        ...

    async def checkpoint(self) -> None:
        """Bring the write-ahead part into the main part, if the journal has one."""
        ...

    async def backup(self, target: str) -> None:
        """Write a consistent copy to a file that does not exist, while the journal runs."""
        ...

    async def close(self) -> None:
        """Finish what was handed in and let go of the journal."""
        ...
