"""Confirming a bulk import: count and order-sensitive digest of what the journal has of it.

The journal is read in one snapshot, without its lock, so the aggregator may run meanwhile. Rows
normally come in order; in a live-first lane some may come early and wait here, in bounded
memory. See ``whimbrel_protocol.importdigest`` for the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator.journal.dictionaries import decode_stored
from whimbrel_aggregator.journal.errors import JournalError
from whimbrel_aggregator.journal.identities import Identities
from whimbrel_aggregator.journal.reading import Wanted, list_partitions, read_page
from whimbrel_aggregator.journal.schema import check_before_opening, connect
from whimbrel_aggregator.journal.values import FrameRecord
from whimbrel_aggregator.reading import CommittedEvent, UnreadableFrameError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import IMPORT_EXTENSION, ROW_EXTENSION, ImportDigest

MAX_WAITING: Final = 200_000
"""Rows that came early and wait for the ones before them: some 200 MB at the most."""

_PAGE: Final = (64, 4 * 1024 * 1024)

Progress = Callable[[int, int], None]


class TooFarOutOfOrderError(JournalError):
    """More rows wait for earlier ones than memory is meant for."""


@dataclass(slots=True)
class ImportState:
    """What the journal has of one import from one device.

    Attributes:
        digest: count and chain over rows 0 to count - 1.
        repeated: rows that are there more than once.
        waiting: later rows whose predecessors are missing.
    """

    digest: ImportDigest = field(default_factory=ImportDigest)
    repeated: int = 0
    waiting: dict[int, Event] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the rows are there from 0 on, each once, without a hole."""
        return not self.repeated and not self.waiting and self.digest.count > 0

    def add(self, row: int, event: Event) -> None:
        """Take one row in.

        Raises:
            TooFarOutOfOrderError: too many rows wait for earlier ones.
        """
        if row < self.digest.count or row in self.waiting:
            self.repeated += 1
            return
        self.waiting[row] = event
        while self.digest.count in self.waiting:
            self.digest.add(self.waiting.pop(self.digest.count))
        if len(self.waiting) > MAX_WAITING:
            raise TooFarOutOfOrderError(
                f"row {self.digest.count} is missing while {len(self.waiting)} later rows are "
                "there: let the devices drain first"
            )


def check_import(
    path: Path, import_id: str, *, progress: Progress | None = None
) -> tuple[dict[str, ImportState], int]:
    """Return what the journal has of an import per device, and how many frames nobody can read.

    Raises:
        JournalError: the journal cannot be read, or rows are too far out of order.
    """
    if not path.exists():
        raise JournalError(f"journal {path} does not exist")
    states: dict[str, ImportState] = {}
    unreadable = 0
    for record, events in _records(path, progress):
        if record is None:
            unreadable += 1
            continue
        for committed in events:
            row = _row_of(committed.event.extensions, import_id)
            if row is not None:
                device = str(record.key.device_key)
                states.setdefault(device, ImportState()).add(row, committed.event)
    return states, unreadable


def _row_of(extensions: dict[str, Any], import_id: str) -> int | None:
    if extensions.get(IMPORT_EXTENSION) != import_id:
        return None
    row = extensions.get(ROW_EXTENSION)
    return row if type(row) is int else None


def _records(
    path: Path, progress: Progress | None
) -> Iterator[tuple[FrameRecord | None, tuple[CommittedEvent, ...]]]:
    """Yield every frame of one snapshot in order; None for one that cannot be read."""
    check_before_opening(path)
    connection = connect(path, readonly=True)
    try:
        connection.execute("BEGIN")
        identities = Identities(connection)
        states = list_partitions(connection)
        whole = sum(state.head - state.oldest + 1 for state in states)
        done = 0
        for state in states:
            offset = state.oldest
            while offset <= state.head:
                page = read_page(connection, identities, state.key, Wanted(offset, *_PAGE))
                for record in page.frames:
                    try:
                        yield record, decode_stored(connection, identities, record)
                    except UnreadableFrameError:
                        yield None, ()
                yield from ((None, ()) for _ in page.damaged)
                done += page.next_offset - offset
                offset = page.next_offset
                if progress is not None:
                    progress(done, whole)
    finally:
        connection.close()
