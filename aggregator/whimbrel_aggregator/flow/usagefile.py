"""The file that keeps monthly usage: ``<journal>.usage``, beside the journal and not part of it.

It is no part of what the region promises about events, so it has rules of its own: a row that
fails its checksum is left out, a file that cannot be read is put aside as ``.damaged-<n>`` and
counting begins anew; neither stops the aggregator, and both are logged. Counts are written every
few seconds and at an orderly stop; after ``kill -9`` what was counted since is missing.

========  ================================================================================
column    what it is
========  ================================================================================
month     ``2026-11``
name      tenant, tenant/store or tenant/store/device; empty for the region
frames    committed frames; with ``events`` and ``size_bytes`` totals of the month
crc       CRC-32 of the columns before
========  ================================================================================
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from whimbrel_aggregator.journal.rows import row_crc
from whimbrel_aggregator.logs import facts
from whimbrel_protocol.errors import WhimbrelError

from .usage import Usage, UsageRow

APPLICATION_ID: Final = 0x57685531  # "WhU1"
SCHEMA_VERSION: Final = 1
MONTHS_KEPT: Final = 13
"""This month and the twelve before it; at 150,000 names a month some 200 MB."""

MAX_ASIDE: Final = 10
"""Damaged files that are kept; of more, the newest one takes the last place."""

_TABLE: Final = """
CREATE TABLE usage (
    month TEXT NOT NULL, name TEXT NOT NULL, frames INTEGER NOT NULL, events INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (month, name)
) WITHOUT ROWID
"""

_log = logging.getLogger("whimbrel.flow")


class UsageFileError(WhimbrelError):
    """Usage cannot be read or stored now; the text says why."""


def usage_path(journal: Path) -> Path:
    """Return where the usage of a journal's region is kept."""
    return journal.with_name(journal.name + ".usage")


class UsageFile:
    """The open file. For one thread at a time.

    Raises:
        UsageFileError: it is of a newer program, or cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # the disk, not the file's content
                raise UsageFileError(f"{path} cannot be opened: {error}") from error
            self._put_aside(error)
            try:
                self._connection = self._open()
            except sqlite3.Error as again:
                raise UsageFileError(f"{path} cannot be made: {again}") from again

    def _open(self) -> sqlite3.Connection:
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
            raise UsageFileError(
                f"{self._path} has schema version {version}, this program knows up to "
                f"{SCHEMA_VERSION}; it was left unchanged: run the newer program"
            )
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
            return
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'usage'")
        (checked,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if checked != "ok" or tables.fetchone() != (1,):
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
            raise UsageFileError(f"{self._path} is damaged and stays: {failure}") from failure
        _log.error(
            "usage counts are damaged: counting begins anew, quotas of this month with it",
            extra=facts(kept_as=str(aside), error=str(error)),
        )

    def rows(self, month: str | None = None) -> list[UsageRow]:
        """Return every row (of one month) that is as it was written.

        Raises:
            UsageFileError: the file cannot be read.
        """
        try:
            found = self._connection.execute(
                "SELECT * FROM usage WHERE ? IS NULL OR month = ? ORDER BY month, name",
                (month, month),
            ).fetchall()
        except sqlite3.Error as error:
            raise UsageFileError(f"{self._path} cannot be read: {error}") from error
        whole = [row for row in found if row[-1] == row_crc(*row[:-1])]
        if len(whole) < len(found):
            _log.error(
                "rows of usage counts are damaged: what they counted is not known any more",
                extra=facts(rows=len(found) - len(whole)),
            )
        return [
            UsageRow(month, tuple(name.split("/")) if name else (), Usage(frames, events, size))
            for month, name, frames, events, size, _ in whole
        ]

    def store(self, rows: Iterable[UsageRow]) -> None:
        """Write totals, and let go of months past the ones that are kept.

        Raises:
            UsageFileError: nothing was stored.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for row in rows:
                usage = row.usage
                values = (row.month, "/".join(row.scope))
                counts = (usage.frames, usage.events, usage.size_bytes)
                self._connection.execute(
                    "INSERT OR REPLACE INTO usage VALUES (?,?,?,?,?,?)",
                    (*values, *counts, row_crc(*values, *counts)),
                )
            self._connection.execute(
                "DELETE FROM usage WHERE month <= (SELECT month FROM "
                "(SELECT DISTINCT month FROM usage ORDER BY month DESC LIMIT 1 OFFSET ?))",
                (MONTHS_KEPT,),
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise UsageFileError(f"{self._path} cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def read_usage(path: Path, month: str) -> list[UsageRow]:
    """Return a month's rows of a file that nobody has open; none where there is no file.

    Raises:
        UsageFileError: it cannot be read.
    """
    if not path.exists():
        return []
    file = UsageFile(path)
    try:
        return file.rows(month)
    finally:
        file.close()
