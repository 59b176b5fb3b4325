"""The file that keeps monthly usage: ``<journal>.usage``, beside the journal (:mod:`.sidefile`).

Counts are written every few seconds and at an orderly stop; after ``kill -9`` what was counted
since is missing. A row that fails its checksum is left out, and logged.

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
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from whimbrel_aggregator.journal.rows import row_crc
from whimbrel_aggregator.logs import facts

from .sidefile import SideFile
from .usage import Usage, UsageRow

APPLICATION_ID: Final = 0x57685531  # "WhU1"
MONTHS_KEPT: Final = 13
"""This month and the twelve before it; at 150,000 names a month some 200 MB."""

_TABLE: Final = """
CREATE TABLE usage (
    month TEXT NOT NULL, name TEXT NOT NULL, frames INTEGER NOT NULL, events INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (month, name)
) WITHOUT ROWID
"""

_log = logging.getLogger("whimbrel.flow")


def usage_path(journal: Path) -> Path:
    """Return where the usage of a journal's region is kept."""
    return journal.with_name(journal.name + ".usage")


class UsageFile:
    """The open file. For one thread at a time.

    Raises:
        SideFileError: it is of a newer program, or cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._file = SideFile(path, name="usage", schema=_TABLE, application_id=APPLICATION_ID)

    def rows(self, month: str | None = None) -> list[UsageRow]:
        """Return every row (of one month) that is as it was written.

        Raises:
            SideFileError: the file cannot be read.
        """
        with self._file.reading() as connection:
            found = connection.execute(
                "SELECT * FROM usage WHERE ? IS NULL OR month = ? ORDER BY month, name",
                (month, month),
            ).fetchall()
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
            SideFileError: nothing was stored.
        """
        with self._file.writing() as connection:
            for row in rows:
                usage = row.usage
                values = (row.month, "/".join(row.scope))
                counts = (usage.frames, usage.events, usage.size_bytes)
                connection.execute(
                    "INSERT OR REPLACE INTO usage VALUES (?,?,?,?,?,?)",
                    (*values, *counts, row_crc(*values, *counts)),
                )
            connection.execute(
                "DELETE FROM usage WHERE month <= (SELECT month FROM "
                "(SELECT DISTINCT month FROM usage ORDER BY month DESC LIMIT 1 OFFSET ?))",
                (MONTHS_KEPT,),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_usage(path: Path, month: str) -> list[UsageRow]:
    """Return a month's rows of a file that nobody has open; none where there is no file.

    Raises:
        SideFileError: it cannot be read.
    """
    if not path.exists():
        return []
    file = UsageFile(path)
    try:
        return file.rows(month)
    finally:
        file.close()
