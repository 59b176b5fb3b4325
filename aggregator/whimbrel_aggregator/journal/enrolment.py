"""Enrolled devices in the journal's file: written by the same writer, in its transactions."""

from __future__ import annotations

import sqlite3

from .dedup import state_of
from .identities import DeviceRow, Identities
from .values import DeviceKey, EnrolledDevice


def _value(connection: sqlite3.Connection, row: DeviceRow) -> EnrolledDevice:
    keys = connection.execute(
        "SELECT public_key FROM device_keys WHERE device = ? ORDER BY public_key", (row.id,)
    )
    return EnrolledDevice(
        key=row.key,
        region=row.region,
        public_keys=tuple(key for (key,) in keys),
        enrolled_ns=row.enrolled_ns or 0,
        removed_ns=row.removed_ns,
        label=row.label,
        state=state_of(connection, row),
    )


def list_devices(connection: sqlite3.Connection) -> list[EnrolledDevice]:
    """Return every device that is or was enrolled, in key order."""
    rows = connection.execute(
        "SELECT * FROM devices WHERE enrolled_ns IS NOT NULL ORDER BY tenant, store, device"
    ).fetchall()
    return [_value(connection, DeviceRow.read(row)) for row in rows]


def get_device(
    connection: sqlite3.Connection, identities: Identities, key: DeviceKey
) -> EnrolledDevice | None:
    """Return a device that is or was enrolled."""
    row = identities.device(key)
    return None if row is None or row.enrolled_ns is None else _value(connection, row)


def enrol(connection: sqlite3.Connection, identities: Identities, device: EnrolledDevice) -> None:
    """Enrol a device or replace what is known of it; its dedup state is kept."""
    row = identities.make_device(device.key)
    row.region, row.label = device.region, device.label
    row.enrolled_ns, row.removed_ns = device.enrolled_ns, None
    row.save(connection)
    connection.execute("DELETE FROM device_keys WHERE device = ?", (row.id,))
    connection.executemany(
        "INSERT OR IGNORE INTO device_keys VALUES (?, ?)",
        [(row.id, key) for key in device.public_keys],
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
