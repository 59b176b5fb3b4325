"""Enrolled devices in the journal's file: written by the same writer, in its transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from .dedup import state_of, state_with
from .identities import DeviceRow, Identities
from .rows import check_row, row_crc
from .values import DeviceKey, DeviceState, EnrolledDevice


def _value(row: DeviceRow, keys: Iterable[bytes], state: DeviceState) -> EnrolledDevice:
    return EnrolledDevice(
        key=row.key,
        region=row.region,
        public_keys=tuple(keys),
        enrolled_ns=row.enrolled_ns or 0,
        removed_ns=row.removed_ns,
        label=row.label,
        state=state,
    )


def _checked_key(row: tuple[Any, ...]) -> bytes:
    device, public_key, crc = row
    check_row(f"public key of device row {device}", crc, device, public_key)
    return bytes(public_key)


def list_devices(connection: sqlite3.Connection) -> list[EnrolledDevice]:
    """Return every device that is or was enrolled, in key order; three queries in all."""
    keys: dict[int, list[bytes]] = {}
    for row in connection.execute("SELECT * FROM device_keys ORDER BY device, public_key"):
        keys.setdefault(row[0], []).append(_checked_key(row))
    streams = {
        device: (count, newest)
        for device, count, newest in connection.execute(
            "SELECT devices.id, count(*), max(epoch) FROM streams JOIN devices "
            "ON devices.id = streams.device AND epoch >= epoch_floor GROUP BY devices.id"
        )
    }
    rows = connection.execute(
        "SELECT * FROM devices WHERE enrolled_ns IS NOT NULL ORDER BY tenant, store, device"
    )
    devices = [DeviceRow.read(row) for row in rows]
    return [
        _value(row, keys.get(row.id, ()), state_with(row, *streams.get(row.id, (0, 0))))
        for row in devices
    ]


def get_device(
    connection: sqlite3.Connection, identities: Identities, key: DeviceKey
) -> EnrolledDevice | None:
    """Return a device that is or was enrolled."""
    row = identities.device(key)
    if row is None or row.enrolled_ns is None:
        return None
    keys = connection.execute(
        "SELECT * FROM device_keys WHERE device = ? ORDER BY public_key", (row.id,)
    )
    return _value(row, map(_checked_key, keys), state_of(connection, row))


def enrol(connection: sqlite3.Connection, identities: Identities, device: EnrolledDevice) -> None:
    """Enrol a device or replace what is known of it; its dedup state is kept."""
    row = identities.make_device(device.key)
    row.region, row.label = device.region, device.label
    row.enrolled_ns, row.removed_ns = device.enrolled_ns, None
    row.save(connection)
    connection.execute("DELETE FROM device_keys WHERE device = ?", (row.id,))
    connection.executemany(
        "INSERT OR IGNORE INTO device_keys VALUES (?, ?, ?)",
        [(row.id, key, row_crc(row.id, key)) for key in device.public_keys],
    )


def remove(
    connection: sqlite3.Connection, identities: Identities, key: DeviceKey, removed_ns: int
) -> bool:
    """Take a device's right to speak; its row and streams stay as tombstones."""
    row = identities.device(key)
    if row is None or row.enrolled_ns is None or row.removed_ns is not None:
        return False
    row.removed_ns = removed_ns
    row.save(connection)
    connection.execute("DELETE FROM device_keys WHERE device = ?", (row.id,))
    return True
