"""Which page size a buffer file has, asked before SQLite opens it.

Everything that reads a file's raw pages must know it, of damaged files above all. The file's
header says it, the log's header says it once more under a checksum, and where both are gone it
is the size under which most of what proves itself is found.
"""

from __future__ import annotations

import mmap
from contextlib import closing
from pathlib import Path
from typing import Final

from whimbrel_agent.buffer.database import KNOWN_PAGE_BYTES, PAGE_BYTES
from whimbrel_agent.buffer.wal import scan_wal
from whimbrel_protocol.sqlitewal import HEADER_BYTES, header_is_good

_FILE_MARK: Final = b"SQLite format 3\0"
_SAID: Final = slice(16, 18)


def page_bytes_of(path: Path, wal: Path) -> int:
    """Return the page size of a database file with a log; of a new one what it will have."""
    head = _beginning(path, _SAID.stop)
    said = int.from_bytes(head[_SAID], "big")
    if head.startswith(_FILE_MARK) and said in KNOWN_PAGE_BYTES:
        return said
    log_head = _beginning(wal, HEADER_BYTES)
    if len(log_head) == HEADER_BYTES:
        for size in KNOWN_PAGE_BYTES:
            if header_is_good(log_head, size):
                return size
    if not head and not log_head:
        return PAGE_BYTES
    return max(KNOWN_PAGE_BYTES, key=lambda size: _proved_bytes(path, wal, size))


def _beginning(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        return b""


def _proved_bytes(path: Path, wal: Path, page_bytes: int) -> int:
    """Return how many bytes are whole if pages have this size; chains break under another."""
    # Half a megabyte of code that a sound buffer never needs.
    from whimbrel_agent.buffer.carve import Carver  # noqa: PLC0415

    found = page_bytes * sum(frame.good for frame in scan_wal(wal, page_bytes=page_bytes).frames)
    if path.stat().st_size:
        with (
            path.open("rb") as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as pages,
        ):
            carver = Carver(pages, page_bytes)
            found += sum(len(frame.data) for _, frame in carver.frames())
            found += sum(len(row.data) for row in carver.staged() if row.row is not None)
    return found
