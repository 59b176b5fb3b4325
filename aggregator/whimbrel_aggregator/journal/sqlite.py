"""The embedded journal: one SQLite file, one process, one writing thread, one reading thread.

Rules it keeps: frames, dedup state and heads of a group commit together, durably
(``synchronous=FULL``), before :meth:`append` answers; what a failed commit left is read back
by operation id; a row that fails its checksum is never served.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeVar

from whimbrel_aggregator.config import JournalConfig
from whimbrel_aggregator.ports import Clock, Random, Runner
from whimbrel_protocol.messages import GENERATION_BYTES

from . import consumers, dedup, dictionaries, enrolment, reading, retention
from .backup import write_backup
from .cache import StateCache
from .errors import JournalFailedError
from .identities import Identities
from .storage import Storage, Work
from .values import (
    Append,
    AppendResult,
    Committed,
    Conflict,
    ConsumerCursor,
    Cursor,
    DeviceKey,
    DeviceState,
    EnrolledDevice,
    IndexEntry,
    JournalSize,
    Page,
    ParkedRecord,
    PartitionKey,
    PartitionState,
    RetentionPolicy,
    RetentionResult,
    StreamKey,
    StreamRecord,
    Unknown,
)
from .writing import append_group, read_partition

T = TypeVar("T")

ROW_BYTES: Final = 160
"""What a frame's row and index entry take beside its bytes."""

RETENTION_STEPS: Final = 10_000
"""Bounds one call of retain(): five million frames."""


class SqliteJournal:
    """See :class:`whimbrel_aggregator.journal.port.Journal`; made by :meth:`open`."""

    def __init__(self, storage: Storage, *, clock: Clock, writer: Runner, reader: Runner) -> None:
        self._storage = storage
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._cache = StateCache()
        self._commits = 0
        self._changed = asyncio.Event()

    @classmethod
    async def open(
        cls, config: JournalConfig, *, clock: Clock, random: Random, writer: Runner, reader: Runner
    ) -> SqliteJournal:
        """Open the journal, or make it.

        Raises:
            JournalError: it is in use, newer than this program, damaged or not a journal.
        """
        generation = random.randbytes(GENERATION_BYTES)
        try:
            storage = await writer.run(
                lambda: Storage(
                    config.path,
                    max_bytes=config.max_bytes,
                    min_free_bytes=config.min_free_bytes,
                    new_generation=generation,
                    boot_id=clock.boot_id,
                )
            )
        except BaseException:
            await writer.close()
            await reader.close()
            raise
        return cls(storage, clock=clock, writer=writer, reader=reader)

    @property
    def generation(self) -> bytes:
        """Eight bytes, new after every restore."""
        return self._storage.generation

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._storage.path

    async def _write(self, work: Work[T], *, grows_bytes: int = 0) -> T:
        return await self._writer.run(lambda: self._storage.write(work, grows_bytes=grows_bytes))

    async def _read(self, work: Work[T]) -> T:
        return await self._reader.run(lambda: self._storage.read(work))

    async def _read_behind_commits(self, work: Work[T]) -> T:
        return await self._writer.run(lambda: self._storage.read(work))

    # ---- appending

    async def append(self, appends: Sequence[Append]) -> list[AppendResult]:
        """See the port."""
        self._cache.begin(appends)
        size = sum(len(frame.data) + ROW_BYTES for append in appends for frame in append.frames)
        try:
            results = await self._write(
                lambda connection, ids: append_group(connection, ids, appends),
                grows_bytes=max(1, size),
            )
        except JournalFailedError as error:
            return [Unknown(str(error)) for _ in appends]
        self._cache.done(appends, results)
        self._tell()
        return results

    def _tell(self) -> None:
        self._commits += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def outcome(self, partition: PartitionKey, op_id: bytes) -> AppendResult:
        """See the port."""

        def look(connection: sqlite3.Connection, ids: Identities) -> AppendResult:
            row = ids.partition(partition)
            return Conflict(0) if row is None else read_partition(connection, row).outcome(op_id)

        # through the writing connection: after a failure it is the one that opens again
        result = await self._write(look)
        if isinstance(result, Committed):
            self._tell()
        return result

    async def heads(self, partitions: Sequence[PartitionKey]) -> list[int]:
        """See the port."""
        known = self._cache.heads(partitions)
        missing = [key for key in partitions if key not in known]
        if missing:

            def look(connection: sqlite3.Connection, ids: Identities) -> dict[PartitionKey, int]:
                rows = ((key, ids.partition(key)) for key in missing)
                return {
                    key: 0 if row is None else read_partition(connection, row).head
                    for key, row in rows
                }

            begun = self._cache.begun
            found = await self._read_behind_commits(look)
            self._cache.keep_heads(found, begun=begun)
            known |= found
        return [known[key] for key in partitions]

    async def streams(self, keys: Sequence[StreamKey]) -> list[StreamRecord | None]:
        """See the port."""
        known = self._cache.streams(keys)
        missing = [key for key in keys if key not in known]
        if missing:

            def look(connection: sqlite3.Connection, ids: Identities) -> list[StreamRecord]:
                records = (dedup.read_stream(connection, ids, key) for key in missing)
                return [record for record in records if record is not None]

            begun = self._cache.begun
            found = await self._read_behind_commits(look)
            self._cache.keep_streams(found, begun=begun)
            known |= {record.key: record for record in found}
        return [known.get(key) for key in keys]

    async def device_states(self, keys: Sequence[DeviceKey]) -> list[DeviceState]:
        """See the port."""
        return await self._read(
            lambda connection, ids: [dedup.device_state(connection, ids, key) for key in keys]
        )

    async def find(self, wanted: Sequence[tuple[StreamKey, int, int]]) -> list[IndexEntry | None]:
        """See the port."""
        return await self._read(
            lambda connection, ids: [
                dedup.first_overlapping(connection, ids, key, first, last)
                for key, first, last in wanted
            ]
        )

    async def ending_at(self, wanted: Sequence[tuple[StreamKey, int]]) -> list[IndexEntry | None]:
        """See the port."""
        return await self._read(
            lambda connection, ids: [
                dedup.frame_ending_at(connection, ids, key, last) for key, last in wanted
            ]
        )

    async def fold(self, device: DeviceKey, keep: int) -> int:
        """See the port."""
        self._cache.begin_anything()
        return await self._write(
            lambda connection, ids: dedup.fold_streams(connection, ids, device, keep)
        )

    async def keep_dictionary(self, device: DeviceKey, content: bytes, *, needed: bool) -> bool:
        """See the port."""
        return await self._write(
            lambda connection, ids: dictionaries.keep_dictionary(
                connection, ids, device, content, needed=needed
            ),
            grows_bytes=len(content) + ROW_BYTES,
        )

    async def dictionaries(self, wanted: Sequence[tuple[DeviceKey, bytes]]) -> list[bytes | None]:
        """See the port."""
        return await self._read(lambda connection, ids: dictionaries.read(connection, ids, wanted))

    # ---- reading

    async def partitions(self) -> list[PartitionState]:
        """See the port."""
        return await self._read(lambda connection, _: reading.list_partitions(connection))

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
        """See the port."""
        wanted = reading.Wanted(offset, limit_frames, limit_bytes, since_ns, until_ns)
        return await self._read(
            lambda connection, ids: reading.read_page(connection, ids, partition, wanted)
        )

    async def offset_at(self, partition: PartitionKey, received_ns: int) -> int:
        """See the port."""
        return await self._read(
            lambda connection, ids: reading.offset_at_time(connection, ids, partition, received_ns)
        )

    async def wait_beyond(self, partition: PartitionKey, offset: int, timeout_s: float) -> bool:
        """See the port."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    changed = self._changed
                    if (await self.heads([partition]))[0] >= offset:
                        return True
                    await changed.wait()
        except TimeoutError:
            return False

    async def wait_any(self, seen: int, timeout_s: float) -> int:
        """See the port."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._commits == seen:
                    await self._changed.wait()
        except TimeoutError:
            pass  # the counter says it: nothing new
        return self._commits

    # ---- consumers

    async def attach(self, consumer: str) -> None:
        """See the port."""
        now = self._clock.wall_ns()
        await self._write(lambda connection, _: consumers.attach(connection, consumer, now))

    async def cursor(self, consumer: str, partition: PartitionKey) -> Cursor:
        """See the port."""
        return await self._read(
            lambda connection, ids: consumers.get_cursor(
                connection, ids, consumer, partition, self.generation
            )
        )

    async def put_cursor(self, consumer: str, partition: PartitionKey, cursor: Cursor) -> None:
        """See the port."""
        now = self._clock.wall_ns()
        await self._write(
            lambda connection, ids: consumers.put_cursor(
                connection,
                ids,
                consumer,
                partition,
                cursor=cursor,
                generation=self.generation,
                now_ns=now,
            )
        )

    async def cursors(self) -> list[ConsumerCursor]:
        """See the port."""
        return await self._read(lambda connection, _: consumers.list_cursors(connection))

    async def consumers(self) -> list[str]:
        """See the port."""
        return await self._read(lambda connection, _: consumers.names(connection))

    async def rebind(self, consumer: str, *, offset: int | None = None) -> None:
        """See the port."""
        now = self._clock.wall_ns()
        await self._write(
            lambda connection, _: consumers.rebind(
                connection, consumer, offset, self.generation, now
            )
        )

    async def detach(self, consumer: str) -> None:
        """See the port."""
        await self._write(lambda connection, _: consumers.detach(connection, consumer))

    async def park(self, records: Sequence[ParkedRecord]) -> None:
        """See the port."""
        await self._write(lambda connection, ids: consumers.park(connection, ids, records))

    async def parked(
        self, consumer: str | None = None, *, after_id: int = 0, limit: int = 100
    ) -> list[ParkedRecord]:
        """See the port."""
        return await self._read(
            lambda connection, _: consumers.list_parked(connection, consumer, after_id, limit)
        )

    async def unpark(self, ids: Sequence[int]) -> int:
        """See the port."""
        return await self._write(lambda connection, _: consumers.unpark(connection, ids))

    # ---- enrolment

    async def devices(self) -> list[EnrolledDevice]:
        """See the port."""
        return await self._read(lambda connection, _: enrolment.list_devices(connection))

    async def device(self, key: DeviceKey) -> EnrolledDevice | None:
        """See the port."""
        return await self._read(lambda connection, ids: enrolment.get_device(connection, ids, key))

    async def enrol(self, device: EnrolledDevice) -> None:
        """See the port."""
        await self._write(lambda connection, ids: enrolment.enrol(connection, ids, device))

    async def remove(self, key: DeviceKey, removed_ns: int) -> bool:
        """See the port."""
        return await self._write(
            lambda connection, ids: enrolment.remove(connection, ids, key, removed_ns)
        )

    # ---- housekeeping

    async def size(self) -> JournalSize:
        """See the port."""
        return await self._reader.run(self._storage.size)

    async def retain(self, policy: RetentionPolicy, now_ns: int) -> RetentionResult:
        """See the port."""
        self._cache.begin_anything()  # folded streams may go with their last frames
        frames = size = 0
        held: frozenset[str] = frozenset()
        for _ in range(RETENTION_STEPS):
            step = await self._write(
                lambda connection, ids: retention.retention_step(connection, ids, policy, now_ns)
            )
            frames, size, held = frames + step.frames, size + step.size_bytes, step.held_by
            if not step.frames:
                break
        return RetentionResult(frames, size, tuple(sorted(held)))

    async def checkpoint(self) -> None:
        """See the port."""
        await self._writer.run(self._storage.checkpoint)

    async def backup(self, target: str) -> None:
        """See the port."""
        await asyncio.to_thread(write_backup, self._storage.path, Path(target))

    async def close(self) -> None:
        """See the port."""
        await self._reader.close()
        await self._writer.run(self._storage.close)
        await self._writer.close()
