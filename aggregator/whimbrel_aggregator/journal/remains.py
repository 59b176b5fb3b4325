"""The small rows of a damaged journal: devices, partitions, index, consumers. Each proves itself.

They are read through SQLite from both ends of each table. What has no checksum of its own is
used only where something else bears it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import JournalError
from .identities import DeviceRow
from .image import ImageReader
from .rows import row_crc
from .values import DeviceKey, PartitionKey
from .writing import PartitionRow


@dataclass(frozen=True, slots=True)
class KeptCursor:
    """A consumer's place in a partition of the damaged journal."""

    consumer: str
    partition: int
    generation: bytes
    position: int
    updated_ns: int


@dataclass(slots=True)
class Remains:
    """What could be read and is as it was written.

    ``index`` is (stream, first) -> offset, and ``index_whole`` whether all of it could be
    reached; ``damaged`` counts rows that are not as they were written, by table.
    """

    devices: dict[int, DeviceRow] = field(default_factory=dict)
    keys: dict[int, list[bytes]] = field(default_factory=dict)
    partitions: dict[int, PartitionRow] = field(default_factory=dict)
    index: dict[tuple[int, int], int] = field(default_factory=dict)
    index_whole: bool = True
    consumers: dict[str, int] = field(default_factory=dict)
    cursors: list[KeptCursor] = field(default_factory=list)
    parked: list[tuple[Any, ...]] = field(default_factory=list)
    damaged: Counter[str] = field(default_factory=Counter)
    unreadable: set[str] = field(default_factory=set)

    def keys_of(self, key: DeviceKey) -> list[bytes]:
        """Return the readable public keys of a device."""
        ids = [row.id for row in self.devices.values() if row.key == key]
        return [one for number in ids for one in self.keys.get(number, [])]


def read_remains(reader: ImageReader) -> Remains:
    """Read all that can be read."""
    remains = Remains()
    for row in reader.rows("devices", "id"):
        try:
            device = DeviceRow.read(row)
        except JournalError:
            remains.damaged["devices"] += 1
        else:
            remains.devices[device.id] = device
    for device_id, public_key in _sound(reader, remains, "device_keys", "device, public_key"):
        remains.keys.setdefault(device_id, []).append(public_key)
    for row in _sound(reader, remains, "partitions", "id"):
        remains.partitions[row[0]] = PartitionRow(row[0], PartitionKey(row[1], row[2]), *row[3:])
    for stream, first, position in reader.rows("frame_index", "stream, first"):
        if all(type(one) is int for one in (stream, first, position)):
            remains.index[stream, first] = position
    remains.index_whole = "frame_index" not in reader.unreadable
    _read_consumers(reader, remains)
    remains.unreadable = reader.unreadable
    return remains


def _read_consumers(reader: ImageReader, remains: Remains) -> None:
    for name, attached_ns in reader.rows("consumers", "name"):
        if type(name) is str and name.isprintable() and type(attached_ns) is int:
            remains.consumers[name] = attached_ns
    for row in _sound(reader, remains, "cursors", "consumer, partition"):
        remains.cursors.append(KeptCursor(*row))
        remains.consumers.setdefault(row[0], row[4])
    for row in reader.rows("parked", "id"):
        if row[-1] == row_crc(*row[1:-1]):
            remains.parked.append(row[1:-1])
        else:
            remains.damaged["parked"] += 1


def _sound(
    reader: ImageReader, remains: Remains, table: str, key: str
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table whose checksum, their last column, is right, without it."""
    for row in reader.rows(table, key):
        if row[-1] == row_crc(*row[:-1]):
            yield row[:-1]
        else:
            remains.damaged[table] += 1
