"""Reads a region's SQLite journal for the reckoning, while the aggregator runs or after.

It uses the protocol package alone (frames are opened and their columns decoded here), so that an
error in the aggregator's own reading cannot hide one in its writing. Read-only: the file is
opened as a second reader and never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANES

from .ledger import Place
from .reconcile import CommittedEvent, CommittedGap, Contents

ID_FIELD: Final = "id"
"""The field of an event's data that holds its id in the sender's ledger."""

_OFFSET_BITS: Final = 40  # a frame's rowid is its partition's id << 40 | its offset

_WITH_DICTIONARIES: Final = 2  # the schema version that brought them

_FRAMES: Final = """
    SELECT frames.id, devices.tenant, devices.store, devices.device, streams.epoch, streams.lane,
        frames.fork, frames.data
    FROM frames JOIN streams ON streams.id = frames.stream
    JOIN devices ON devices.id = streams.device
    ORDER BY frames.id
"""


@dataclass(slots=True)
class _Collected:
    events: list[CommittedEvent] = field(default_factory=list)
    gaps: list[CommittedGap] = field(default_factory=list)
    frames: int = 0
    unreadable: list[str] = field(default_factory=list)
    dictionaries: dict[bytes, Dictionary] = field(default_factory=dict)


IdOf = Callable[[Event], str]
"""Gives the id by which an event stands in its sender's ledger; empty when it has none."""

Wanted = Callable[[str, str], bool]
"""Whether a tenant's store is looked at."""


def id_in_data(event: Event) -> str:
    """Give the id that the sender put into the event's data."""
    return str(event.data.get(ID_FIELD, ""))


def own_id(event: Event) -> str:
    """Give the event's own id, by which the product recognises it too."""
    return event.dedup_key or ""


def _everything(_tenant: str, _store: str) -> bool:
    return True


def read_contents(
    path: Path, *, id_of: IdOf = id_in_data, wanted: Wanted = _everything
) -> Contents:
    """Read what a journal file holds; nothing when the file is not there yet.

    Args:
        path: the journal's file.
        id_of: where an event's id in the ledger is found.
        wanted: which stores are looked at.

    Raises:
        sqlite3.Error: the file is no journal.
    """
    found = _Collected()
    if path.exists():
        with closing(_open(path)) as connection:
            found.dictionaries = _dictionaries(connection)
            for rowid, tenant, store, *row in connection.execute(_FRAMES):
                if wanted(tenant, store):
                    _collect(found, (rowid, *row), id_of)
    return Contents(tuple(found.events), tuple(found.gaps), found.frames, tuple(found.unreadable))


def count_events(path: Path) -> int:
    """Return how many events a journal file holds, without decoding them."""
    if not path.exists():
        return 0
    with closing(_open(path)) as connection:
        return int(connection.execute("SELECT coalesce(sum(count), 0) FROM frames").fetchone()[0])


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def _dictionaries(connection: sqlite3.Connection) -> dict[bytes, Dictionary]:
    if connection.execute("PRAGMA user_version").fetchone()[0] < _WITH_DICTIONARIES:
        return {}
    contents = connection.execute("SELECT content FROM dictionaries")
    loaded = [Dictionary(content) for (content,) in contents]
    return {one.name: one for one in loaded}


def _collect(found: _Collected, row: tuple[int, str, int, int, int, bytes], id_of: IdOf) -> None:
    rowid, device, epoch, lane_number, fork, data = row
    found.frames += 1
    lane = LANES[lane_number]
    try:
        frame = open_frame(data)
        header = frame.header
        events = decode_events(frame.columns, found.dictionaries) if header.count else []
    except ProtocolError as error:
        found.unreadable.append(f"row {rowid} of {device}: {error}")
        return
    for gap in header.gaps:
        found.gaps.append(
            CommittedGap(
                device=device, epoch=epoch, lane=lane,
                first=header.first + gap.offset, span=gap.count, reason=gap.reason,
            )
        )  # fmt: skip
    position = (rowid >> _OFFSET_BITS, rowid & (1 << _OFFSET_BITS) - 1)
    for index, (event, sequence) in enumerate(zip(events, header.sequences(), strict=True)):
        found.events.append(
            CommittedEvent(
                event_id=id_of(event),
                device=device,
                place=Place(epoch, lane, sequence),
                position=(position[0], position[1] << 20 | index),
                order=header.order,
                fork=bool(fork),
            )
        )


def frame_bytes(path: Path) -> int:
    """Return the size of all frames in a journal file, as they crossed the air."""
    with closing(_open(path)) as connection:
        return int(
            connection.execute("SELECT coalesce(sum(length(data)), 0) FROM frames").fetchone()[0]
        )
