"""Row ids of partitions, devices and streams, and the names behind them.

Each connection has its own :class:`Identities`. Ids are never reused, so a cached one is
right for ever, except after a rollback: then everything is forgotten.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from whimbrel_protocol.lanes import LANE_NUMBERS, LANES
from whimbrel_protocol.sequences import RangeSet

from .errors import JournalDamagedError
from .lru import LruDict
from .rows import check_row, pack_ranges, row_crc, unpack_ranges
from .values import DeviceKey, PartitionKey, StreamKey

CACHED_STREAMS: Final = 10_000
"""About 400 bytes each: 4 MB a connection."""

CACHED_DEVICES: Final = 10_000


@dataclass(slots=True)
class DeviceRow:
    """A row of ``devices``; all columns but the names may be changed, then saved."""

    id: int
    key: DeviceKey
    partition: int
    region: str
    label: str
    enrolled_ns: int | None
    removed_ns: int | None
    epoch_floor: int
    forks: int
    seen_ns: int

    def values(self) -> tuple[Any, ...]:
        """Return the columns that the CRC covers, in table order."""
        return (
            self.id,
            self.key.tenant,
            self.key.store,
            self.key.device,
            self.partition,
            self.region,
            self.label,
            self.enrolled_ns,
            self.removed_ns,
            self.epoch_floor,
            self.forks,
            self.seen_ns,
        )

    def save(self, connection: sqlite3.Connection) -> None:
        """Write the row as it is now."""
        values = self.values()
        connection.execute(
            "INSERT OR REPLACE INTO devices VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (*values, row_crc(*values)),
        )

    @classmethod
    def read(cls, row: tuple[Any, ...]) -> DeviceRow:
        """Check and unpack a row of ``SELECT * FROM devices``.

        Raises:
            JournalDamagedError: it does not match its CRC.
        """
        check_row(f"device {row[1]}/{row[2]}/{row[3]}", row[-1], *row[:-1])
        return cls(row[0], DeviceKey(row[1], row[2], row[3]), *row[4:-1])


class Identities:
    """Looks ids up, and makes them inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._partitions: LruDict[PartitionKey, int] = LruDict(CACHED_DEVICES)
        self._devices: LruDict[DeviceKey, tuple[int, int]] = LruDict(CACHED_DEVICES)
        self._streams: LruDict[StreamKey, tuple[int, int, int]] = LruDict(CACHED_STREAMS)
        self._names: LruDict[int, tuple[StreamKey, int]] = LruDict(CACHED_STREAMS)

    def forget(self) -> None:
        """Forget every id: a transaction that made some was rolled back."""
        self._partitions.clear()
        self._devices.clear()
        self._streams.clear()
        self._names.clear()

    def forget_streams(self) -> None:
        """Forget the streams' ids: some were folded. Folding is rare; no need to know which."""
        self._streams.clear()
        self._names.clear()

    # ---- partitions

    def partition(self, key: PartitionKey) -> int | None:
        """Return a partition's id."""
        known = self._partitions.get(key)
        if known is None:
            row = self._connection.execute(
                "SELECT id FROM partitions WHERE tenant = ? AND store = ?", (key.tenant, key.store)
            ).fetchone()
            if row is None:
                return None
            known = int(row[0])
            self._partitions.put(key, known)
        return known

    def make_partition(self, key: PartitionKey) -> int:
        """Return a partition's id, making the partition if needed."""
        known = self.partition(key)
        if known is not None:
            return known
        cursor = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM partitions")
        new = int(cursor.fetchone()[0])
        self._connection.execute(
            "INSERT INTO partitions VALUES (?,?,?,1,0,0,?,?)",
            (new, key.tenant, key.store, b"", row_crc(new, key.tenant, key.store, 1, 0, 0, b"")),
        )
        self._partitions.put(key, new)
        return new

    # ---- devices

    def device(self, key: DeviceKey) -> DeviceRow | None:
        """Return a device's row."""
        row = self._connection.execute(
            "SELECT * FROM devices WHERE tenant = ? AND store = ? AND device = ?",
            (key.tenant, key.store, key.device),
        ).fetchone()
        return None if row is None else DeviceRow.read(row)

    def make_device(self, key: DeviceKey) -> DeviceRow:
        """Return a device's row, making one that is not enrolled if needed."""
        known = self.device(key)
        if known is not None:
            return known
        cursor = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM devices")
        new = DeviceRow(
            id=int(cursor.fetchone()[0]),
            key=key,
            partition=self.make_partition(key.partition),
            region="",
            label="",
            enrolled_ns=None,
            removed_ns=None,
            epoch_floor=0,
            forks=0,
            seen_ns=0,
        )
        new.save(self._connection)
        return new

    def _device_ids(self, key: DeviceKey, *, make: bool) -> tuple[int, int] | None:
        known = self._devices.get(key)
        if known is None:
            row = self.make_device(key) if make else self.device(key)
            if row is None:
                return None
            known = (row.id, row.partition)
            self._devices.put(key, known)
        return known

    # ---- streams

    def stream(self, key: StreamKey) -> tuple[int, int, int] | None:
        """Return a stream's id, its partition's id and its device's id."""
        known = self._streams.get(key)
        if known is None:
            device = self._device_ids(key.device_key, make=False)
            if device is None:
                return None
            row = self._connection.execute(
                "SELECT id FROM streams WHERE device = ? AND epoch = ? AND lane = ?",
                (device[0], key.epoch, LANE_NUMBERS[key.lane]),
            ).fetchone()
            if row is None:
                return None
            known = (int(row[0]), device[1], device[0])
            self._streams.put(key, known)
        return known

    def make_stream(self, key: StreamKey) -> tuple[int, int, int]:
        """Return the ids of a stream, making it (with nothing settled) if needed."""
        known = self.stream(key)
        if known is not None:
            return known
        device = self._device_ids(key.device_key, make=True)
        assert device is not None
        lane = LANE_NUMBERS[key.lane]
        empty = pack_ranges((device[0], key.epoch, lane), RangeSet())
        cursor = self._connection.execute(
            "INSERT INTO streams VALUES (NULL,?,?,?,?)", (device[0], key.epoch, lane, empty)
        )
        assert cursor.lastrowid is not None
        known = (cursor.lastrowid, device[1], device[0])
        self._streams.put(key, known)
        return known

    def name_of(self, stream: int) -> tuple[StreamKey, int]:
        """Return the key behind a stream's id, and its partition's id.

        Raises:
            JournalDamagedError: there is no such stream, or its row is damaged.
        """
        known = self._names.get(stream)
        if known is not None:
            return known
        row = self._connection.execute(
            "SELECT device, epoch, lane, ranges FROM streams WHERE id = ?", (stream,)
        ).fetchone()
        if row is None:
            raise JournalDamagedError(f"stream row {stream} is not there")
        unpack_ranges(row[:3], row[3])
        device = self._connection.execute(
            "SELECT * FROM devices WHERE id = ?", (row[0],)
        ).fetchone()
        if device is None:
            raise JournalDamagedError(f"device row {row[0]} is not there")
        at = DeviceRow.read(device)
        key = StreamKey(at.key.tenant, at.key.store, at.key.device, row[1], LANES[row[2]])
        known = (key, at.partition)
        self._names.put(stream, known)
        return known
