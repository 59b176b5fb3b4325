"""One whole image of a damaged database: its pages with the log's newest laid over them.

The image is a plain database file without a log. Where its first page is broken, the first
page of a fresh file of the same schema takes its place: the tables are always created in the
same order, so their roots lie where they always lie.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.buffer.database import PAGE_BYTES, SQL_ERRORS, connect
from whimbrel_agent.buffer.schema import SCHEMA_VERSION, upgrade
from whimbrel_agent.buffer.wal import WalScan

_JOURNAL_FORMATS: Final = slice(18, 20)
_LEGACY: Final = b"\x01\x01"
_CHANGE_COUNTER: Final = slice(24, 28)
_PAGES: Final = slice(28, 32)
_FREELIST: Final = slice(32, 40)
_VALID_FOR: Final = slice(92, 96)


def build_image(database: Path, wal: Path, scan: WalScan, image: Path) -> None:
    """Write the image of a database and its log.

    Pages of frames whose checksum is wrong are laid over too: what lies in them proves itself
    or is dropped. Frames after the last commit are left out unless the end is bad, since then
    it is not known what was committed.
    """
    shutil.copyfile(database, image)
    image.chmod(0o600)
    frames = list(scan.frames)
    if not scan.has_bad_end:
        while frames and not frames[-1].size_after:
            frames.pop()
    with image.open("r+b") as out:
        if frames:
            data = wal.read_bytes()
            for frame in frames:
                if 0 < frame.page < 2**22:
                    out.seek((frame.page - 1) * PAGE_BYTES)
                    out.write(data[frame.offset : frame.offset + PAGE_BYTES])
        size = out.seek(0, os.SEEK_END)
        whole = -(-size // PAGE_BYTES) * PAGE_BYTES
        out.truncate(max(whole, PAGE_BYTES))
        out.seek(0)
        head = bytearray(out.read(100))
        head[_JOURNAL_FORMATS] = _LEGACY
        head[_PAGES] = (whole // PAGE_BYTES).to_bytes(4, "big")
        head[_VALID_FOR] = head[_CHANGE_COUNTER]
        out.seek(0)
        out.write(head)


def transplant_first_page(image: Path) -> None:
    """Put the first page of a fresh file in the place of a broken one."""
    fresh = image.with_name(image.name + ".fresh")
    try:
        with closing(connect(fresh)) as connection:
            upgrade(connection, fresh.name)
            connection.execute("PRAGMA journal_mode = DELETE")
        page = bytearray(fresh.read_bytes()[:PAGE_BYTES])
    finally:
        fresh.unlink(missing_ok=True)
    page[_PAGES] = (image.stat().st_size // PAGE_BYTES).to_bytes(4, "big")
    page[_FREELIST] = bytes(8)
    page[_VALID_FOR] = page[_CHANGE_COUNTER]
    with image.open("r+b") as out:
        out.write(page)


class ImageReader:
    """Reads rows of an image as far as they can be reached, from both ends of each table."""

    def __init__(self, image: Path) -> None:
        self.unreadable: set[str] = set()
        self._connection = self._open(image)

    def _open(self, image: Path) -> sqlite3.Connection:
        connection = _read_only(image)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                connection.execute("SELECT count(*) FROM facts").fetchone()
                return connection
        except SQL_ERRORS:
            pass  # the first page is broken: a sound one takes its place
        connection.close()
        self.unreadable.add("first page")
        transplant_first_page(image)
        return _read_only(image)

    def rows(self, table: str, columns: str, key: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table that can be reached, each once, in the order of ``key``."""
        found: dict[Any, tuple[Any, ...]] = {}
        for direction in ("ASC", "DESC"):
            query = f"SELECT {key}, {columns} FROM {table} ORDER BY {key} {direction}"  # noqa: S608
            try:
                for row in self._connection.execute(query):
                    keys = len(key.split(","))
                    found[row[:keys]] = row[keys:]
            except (*SQL_ERRORS, OverflowError):
                self.unreadable.add(table)
        return [found[name] for name in sorted(found, key=repr)]

    def close(self) -> None:
        """Close the image."""
        self._connection.close()


def _read_only(image: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{image}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
