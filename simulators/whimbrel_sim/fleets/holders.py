"""What a journal or a sink holds of a fleet's events, read for the reckoning.

Every holder is read as a stranger would: files and tables, not the aggregator's own code, so that
an error in its reading cannot hide one in its writing. Only events of the fleet's own stores and
run are looked at; whatever else a real sink holds is none of its business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
from psycopg import sql

from whimbrel_sim.journalfile import own_id, read_contents
from whimbrel_sim.ledger import Place
from whimbrel_sim.reconcile import CommittedEvent, Contents

from .roster import Roster

_FINISHED: Final = re.compile(r"\d{8}T\d{6}Z-(\d{8})\.ndjson", re.ASCII)
_FETCH_ROWS: Final = 10_000
_UNREADABLE_SHOWN: Final = 100
"""A holder that is not what it was taken for would name each of its lines."""


class HolderError(Exception):
    """A journal or sink cannot be read; the text says which, why, and what to do."""


class Holder(Protocol):
    """Something that holds committed events."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def contents(self, roster: Roster) -> Contents:
        """Read what it holds of a fleet. Raises HolderError."""
        ...


@dataclass(frozen=True, slots=True)
class JournalHolder:
    """The region's SQLite journal; the aggregator may run."""

    path: Path
    name: str = "journal"

    def contents(self, roster: Roster) -> Contents:
        """Open every frame of the fleet's stores."""
        if not self.path.exists():
            raise HolderError(f"{self.path}: there is no journal; name the [journal] path")
        stores = roster.store_names

        def wanted(tenant: str, store: str) -> bool:
            return tenant == roster.tenant and store in stores

        found = read_contents(self.path, id_of=own_id, wanted=wanted)
        events = tuple(event for event in found.events if roster.owns(event.event_id))
        return Contents(events, found.gaps, found.frames, found.unreadable)


@dataclass(frozen=True, slots=True)
class FilesHolder:
    """The folder of a ``files`` forwarder; order is the order of its lines."""

    folder: Path
    name: str = "files"

    def contents(self, roster: Roster) -> Contents:
        """Read every line."""
        if not self.folder.is_dir():
            raise HolderError(f"{self.folder}: is no folder; name the dir of a files forwarder")
        reader = _CloudEvents(roster)
        for path in sorted(self.folder.glob("*.ndjson"), key=_age):
            reader.read(_whole_lines(path), path.name)
        return reader.contents()


@dataclass(frozen=True, slots=True)
class WebhookHolder:
    """What a webhook's receiver wrote down: a line for each batch (an array) or event.

    A webhook may deliver again what it got no answer about. The same event at the same place
    counts as redelivered; at another place it is there twice.
    """

    file: Path
    name: str = "webhook"

    def contents(self, roster: Roster) -> Contents:
        """Read every line."""
        if not self.file.is_file():
            raise HolderError(f"{self.file}: is no file; name the receiver's record")
        reader = _CloudEvents(roster, keyed=True)
        reader.read(_whole_lines(self.file), self.file.name)
        return reader.contents()


@dataclass(frozen=True, slots=True)
class PostgresHolder:
    """The table of a ``postgres`` forwarder; order is that of epochs and sequences."""

    dsn: str
    schema: str = "public"
    table: str = "events_{tenant}"
    name: str = "postgres"

    def contents(self, roster: Roster) -> Contents:
        """Read every row; a table that is not there yet holds nothing."""
        try:
            with psycopg.connect(self.dsn) as connection:
                events = tuple(self._rows(connection, roster))
        except psycopg.errors.UndefinedTable:
            events = ()
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise HolderError(f"postgres cannot be read: {reason}; check the DSN") from error
        return Contents(events, (), frames=0)

    def _rows(
        self, connection: psycopg.Connection[Any], roster: Roster
    ) -> Iterator[CommittedEvent]:
        table = sql.Identifier(self.schema, self.table.format(tenant=roster.tenant))
        query = sql.SQL(
            "SELECT id, device, epoch, lane, sequence, fork FROM {} "
            "WHERE tenant = %s AND store = ANY(%s) AND starts_with(id, %s)"
        ).format(table)
        values = [roster.tenant, sorted(roster.store_names), f"{roster.run}/"]
        with connection.cursor("whimbrel_reckoning") as cursor:
            cursor.itersize = _FETCH_ROWS
            cursor.execute(query, values)
            for event_id, device, epoch, lane, sequence, fork in cursor:
                yield CommittedEvent(
                    event_id=event_id,
                    device=device,
                    place=Place(epoch, lane, sequence),
                    position=(epoch, sequence),
                    fork=fork,
                )


class _CloudEvents:
    """Collects events from lines of CloudEvents JSON."""

    def __init__(self, roster: Roster, *, keyed: bool = False) -> None:
        self._roster = roster
        self._stores = roster.store_names
        self._events: list[CommittedEvent] = []
        self._unreadable: list[str] = []
        self._seen: set[tuple[str, Place]] | None = set() if keyed else None
        self._redelivered = 0

    def read(self, lines: Iterable[bytes], name: str) -> None:
        """Take lines, each an event or an array of events."""
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
                for event in value if isinstance(value, list) else [value]:
                    self._take(event)
            except (ValueError, KeyError, TypeError) as error:
                if len(self._unreadable) < _UNREADABLE_SHOWN:
                    self._unreadable.append(f"{name} line {number}: {error!r:.80}")

    def contents(self) -> Contents:
        """Return everything that was taken."""
        return Contents(
            tuple(self._events),
            (),
            frames=0,
            unreadable=tuple(self._unreadable),
            redelivered=self._redelivered,
        )

    def _take(self, event: dict[str, Any]) -> None:
        event_id = event["id"]
        ours = event["tenant"] == self._roster.tenant and event["store"] in self._stores
        if not ours or not self._roster.owns(event_id):
            return
        place = Place(int(event["epoch"]), event["lane"], int(event["sequence"]))
        if self._seen is not None:
            if (event_id, place) in self._seen:
                self._redelivered += 1
                return
            self._seen.add((event_id, place))
        self._events.append(
            CommittedEvent(
                event_id=event_id,
                device=event["device"],
                place=place,
                position=(0, len(self._events)),
                fork=bool(event.get("fork", False)),
            )
        )


def _age(path: Path) -> tuple[bool, str]:
    """Sort finished files by their number, then those that are being written."""
    match = _FINISHED.fullmatch(path.name)
    return (match is None, match[1] if match else path.name)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that may be being written: the last one may not be whole."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
