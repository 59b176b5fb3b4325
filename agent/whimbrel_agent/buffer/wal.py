"""The buffer's write-ahead log on disk, walked before SQLite reads it; the walk is shared.

See :mod:`whimbrel_protocol.sqlitewal`.
"""

from __future__ import annotations

from pathlib import Path

from whimbrel_protocol import sqlitewal
from whimbrel_protocol.sqlitewal import NO_LOG, WalScan, scan_log


def scan_wal(path: Path, *, page_bytes: int) -> WalScan:
    """Walk a log; one that is missing has no frames.

    Args:
        path: the ``-wal`` file.
        page_bytes: the page size of the database.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return NO_LOG
    return scan_log(data, page_bytes=page_bytes)


def committed_frames(shm: Path, wal: Path) -> int | None:
    """Return how many frames of a log its index says were committed, if it can be trusted."""
    try:
        with shm.open("rb") as index, wal.open("rb") as log:
            return sqlitewal.committed_frames(
                index.read(sqlitewal.INDEX_BYTES), log.read(sqlitewal.HEADER_BYTES)
            )
    except FileNotFoundError:
        return None
