"""Dictionaries that devices gave the region, and how far frames may name them.

A row proves itself: its name is its content's. ``through`` is the greatest offset in the
device's partition at which a frame may name it, written ahead in steps, since the row is as large
as its content; a dictionary may go when retention has passed that offset. Functions here run
inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from whimbrel_aggregator.reading import (
    CommittedEvent,
    MissingDictionaryError,
    UnreadableFrameError,
    decode_record,
)
from whimbrel_protocol.dictionaries import Dictionary, dictionary_name
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_DICTIONARIES_NAMED

from .identities import Identities
from .rows import row_crc
from .values import DeviceKey, FrameRecord
from .writing import read_partition

MAX_LEARNED: Final = 32
"""Dictionaries kept for one device: a new one every day, with retention of a month."""

MAX_NEEDED: Final = MAX_DICTIONARIES_NAMED
"""With those that frames wait for on the device: a lane must not stand still for want of room."""


def keep_dictionary(
    connection: sqlite3.Connection,
    identities: Identities,
    device: DeviceKey,
    content: bytes,
    *,
    needed: bool,
) -> bool:
    """Keep a dictionary for a device; False when there is no room for it.

    To make room the oldest goes that no kept frame names.
    """
    row = identities.make_device(device)
    name = dictionary_name(content)
    if read_dictionary(connection, identities, device, name) is not None:
        return True
    # what is there under this name is damaged
    connection.execute("DELETE FROM dictionaries WHERE device = ? AND name = ?", (row.id, name))
    (count,) = connection.execute(
        "SELECT count(*) FROM dictionaries WHERE device = ?", (row.id,)
    ).fetchone()
    if count >= (MAX_NEEDED if needed else MAX_LEARNED):
        oldest = read_partition(connection, row.partition).oldest
        gone = connection.execute(
            "DELETE FROM dictionaries WHERE id = (SELECT min(id) FROM dictionaries "
            "WHERE device = ? AND through < ?)",
            (row.id, oldest),
        )
        if not gone.rowcount:
            return False
    connection.execute(
        "INSERT INTO dictionaries VALUES (NULL,?,?,0,?,?)",
        (row.id, name, content, row_crc(row.id, name, content)),
    )
    return True


def read_dictionary(
    connection: sqlite3.Connection, identities: Identities, device: DeviceKey, name: bytes
) -> bytes | None:
    """Return a dictionary's content; None when it is not there, or not as it was written."""
    row = identities.device(device)
    if row is None:
        return None
    found = connection.execute(
        "SELECT content, crc FROM dictionaries WHERE device = ? AND name = ?", (row.id, name)
    ).fetchone()
    if found is None or type(found[0]) is not bytes or row_crc(row.id, name, found[0]) != found[1]:
        return None
    content: bytes = found[0]
    return content


def read(
    connection: sqlite3.Connection,
    identities: Identities,
    wanted: Sequence[tuple[DeviceKey, bytes]],
) -> list[bytes | None]:
    """Return the content of each (device, name), as :func:`read_dictionary` does."""
    return [read_dictionary(connection, identities, *one) for one in wanted]


def decode_stored(
    connection: sqlite3.Connection, identities: Identities, record: FrameRecord
) -> tuple[CommittedEvent, ...]:
    """Decode a frame of a journal that is open for reading only, with what it needs.

    Raises:
        UnreadableFrameError: columns, header or dictionary do not give what the frame promises.
    """
    try:
        return decode_record(record)
    except MissingDictionaryError as error:
        device, name = error.named
        content = read_dictionary(connection, identities, device, name)
        if content is None:
            raise
        try:
            dictionary = Dictionary(content)
        except RemoteProtocolError as bad:
            raise UnreadableFrameError(f"dictionary {name.hex()}: {bad}") from bad
    return decode_record(record, {name: dictionary})
