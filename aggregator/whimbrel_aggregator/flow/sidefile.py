"""Small SQLite files beside the journal: opened, checked, put aside when they are damaged.

They are no part of what the region promises about events, so a damaged one stops nothing: it is
kept as ``.damaged-<n>``, logged, and begun anew.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from whimbrel_aggregator.logs import facts
from whimbrel_protocol.errors import WhimbrelError

SCHEMA_VERSION: Final = 1
MAX_ASIDE: Final = 10
"""Damaged files that are kept; of more, the newest one takes the last place."""

_log = logging.getLogger("whimbrel.flow")


class SideFileError(WhimbrelError):
    """A file beside the journal cannot be read or written now; the text says why."""


class SideFile:
    """An open file with one table. For one thread at a time.

    Args:
        path: the file; made when it is not there.
        name: of the table.
        schema: the statement that makes it.
        application_id: tells the file from any other.

    Raises:
        SideFileError: it is of a newer program, or cannot be opened or made.
    """

    def __init__(self, path: Path, *, name: str, schema: str, application_id: int) -> None:
        self._path = path
        self._name = name
        self._schema = schema
        self._application_id = application_id
        try:
            self.connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk, not the file's content
                raise SideFileError(f"{path} cannot be opened: {error}") from error
            self._put_aside(error)
            try:
                self.connection = self._open()
            except sqlite3.Error as again:
                raise SideFileError(f"{path} cannot be made: {again}") from again

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction.

        Raises:
            SideFileError: nothing was written.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise SideFileError(f"{self._path} cannot be written: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for reading.

        Raises:
            SideFileError: it cannot be read.
        """
        try:
            yield self.connection
        except sqlite3.Error as error:
            raise SideFileError(f"{self._path} cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.touch(mode=0o600)  # names of stores and what they sell are nobody else's
        except OSError as error:
            raise SideFileError(f"{self._path} cannot be opened: {error.strerror}") from error
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise SideFileError(
                f"{self._path} has schema version {version}, this program knows up to "
                f"{SCHEMA_VERSION}; it was left unchanged: run the newer program"
            )
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(self._schema)
            connection.execute(f"PRAGMA application_id = {self._application_id}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
            return
        (checked,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        tables = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        if checked != "ok" or connection.execute(tables, (self._name,)).fetchone() != (1,):
            raise sqlite3.DatabaseError(f"its check says: {checked}")

    def _put_aside(self, error: sqlite3.Error) -> None:
        places = [
            self._path.with_name(f"{self._path.name}.damaged-{number}")
            for number in range(1, MAX_ASIDE + 1)
        ]
        aside = next((place for place in places if not place.exists()), places[-1])
        try:
            self._path.replace(aside)
        except OSError as failure:
            raise SideFileError(f"{self._path} is damaged and stays: {failure}") from failure
        _log.error(
            "a file beside the journal is damaged: it is put aside and begun anew",
            extra=facts(table=self._name, kept_as=str(aside), error=str(error)),
        )
