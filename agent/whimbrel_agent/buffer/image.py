"""One whole image of a damaged database: its pages with the log's newest laid over them.

The image is a plain database file without a log. Where its schema is broken, the pages of a
fresh file's schema take its place: the tables are always created in the same order, so their
roots lie where they always lie.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.buffer.database import SQL_ERRORS, connect
from whimbrel_agent.buffer.schema import LATER_TABLES, SCHEMA_VERSION, upgrade
from whimbrel_protocol.sqlitewal import WalScan

_JOURNAL_FORMATS: Final = slice(18, 20)
_LEGACY: Final = b"\x01\x01"
_CHANGE_COUNTER: Final = slice(24, 28)
_PAGES: Final = slice(28, 32)
_FREELIST: Final = slice(32, 40)
_VALID_FOR: Final = slice(92, 96)
_MAX_IMAGE_BYTES: Final = 2**32
"""A page of the log that would lie past this has a damaged number."""


def build_image(
    database: Path,
    wal: Path,
    scan: WalScan,
    image: Path,
    *,
    page_bytes: int,
    certain_only: bool = False,
) -> None:
    """Write the image of a database and its log.

    Pages of frames whose checksum is wrong are laid over too: what lies in them proves itself
    or is dropped. Frames after the last commit are left out unless the end is bad, since then
    it is not known what was committed; with ``certain_only`` everything from the transaction
    of the first bad frame on is left out.
    """
    shutil.copyfile(database, image)
    image.chmod(0o600)
    frames = list(scan.frames)
    if certain_only:
        frames = frames[: scan.certain]
    elif not scan.has_bad_end:
        while frames and not frames[-1].size_after:
            frames.pop()
    with image.open("r+b") as out:
        if frames:
            data = wal.read_bytes()
            for frame in frames:
                if 0 < frame.page < _MAX_IMAGE_BYTES // page_bytes:
                    out.seek((frame.page - 1) * page_bytes)
                    out.write(data[frame.offset : frame.offset + page_bytes])
        size = out.seek(0, os.SEEK_END)
        whole = -(-size // page_bytes) * page_bytes
        out.truncate(max(whole, page_bytes))
        out.seek(0)
        head = bytearray(out.read(100))
        head[_JOURNAL_FORMATS] = _LEGACY
        head[_PAGES] = (whole // page_bytes).to_bytes(4, "big")
        head[_VALID_FOR] = head[_CHANGE_COUNTER]
        out.seek(0)
        out.write(head)


class FreshSchema:
    """The schema as a fresh file of a version has it: what it says, and the pages that say it."""

    def __init__(self, beside: Path, page_bytes: int, version: int) -> None:
        self._page_bytes = page_bytes
        path = beside.with_name(beside.name + ".fresh")
        try:
            with closing(connect(path, page_bytes=page_bytes)) as connection:
                upgrade(connection, path.name, to=version)
                connection.execute("PRAGMA journal_mode = DELETE")
                self.rows = _schema_rows(connection)
            data = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
        numbers = [1, *_children_of_first_page(data)]
        self.pages = {n: data[(n - 1) * page_bytes : n * page_bytes] for n in numbers}

    def transplant(self, image: Path) -> None:
        """Put the pages of the schema in the place of broken ones."""
        first = bytearray(self.pages[1])
        first[_PAGES] = (image.stat().st_size // self._page_bytes).to_bytes(4, "big")
        first[_FREELIST] = bytes(8)
        first[_VALID_FOR] = first[_CHANGE_COUNTER]
        with image.open("r+b") as out:
            for number, page in {**self.pages, 1: bytes(first)}.items():
                out.seek((number - 1) * self._page_bytes)
                out.write(page)


def _schema_rows(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    return set(
        connection.execute("SELECT name, rootpage, sql, tbl_name FROM sqlite_master").fetchall()
    )


def _fixed(rows: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Return what is the same in every file of this version."""
    return {(row[0], None, *row[2:]) if row[3] in LATER_TABLES else row for row in rows}


def _children_of_first_page(data: bytes) -> list[int]:
    """Return the pages that hold the schema when the first page is only its root.

    SQLite's "B-tree Pages": after the file's header of 100 bytes, an interior page has its type
    (5), its cell count at 3, its last child at 8 and the places of its cells from 12.
    """
    if data[100] != 5:
        return []
    count = int.from_bytes(data[103:105], "big")
    places = [int.from_bytes(data[112 + 2 * n : 114 + 2 * n], "big") for n in range(count)]
    return [int.from_bytes(data[at : at + 4], "big") for at in (*places, 108)]


class ImageReader:
    """Reads rows of an image as far as they can be reached, from both ends of each table."""

    def __init__(self, image: Path, page_bytes: int) -> None:
        self.unreadable: set[str] = set()
        self.version = _version_of(image)
        self._connection = self._open(image, page_bytes)

    def _open(self, image: Path, page_bytes: int) -> sqlite3.Connection:
        fresh = FreshSchema(image, page_bytes, self.version)
        connection = _read_only(image)
        try:
            # edge rules may have made one table more
            if _fixed(fresh.rows) <= _fixed(_schema_rows(connection)):
                return connection
        except SQL_ERRORS:
            pass  # the schema is broken: a sound one takes its place
        connection.close()
        self.unreadable.add("schema")
        fresh.transplant(image)
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


def _version_of(image: Path) -> int:
    """Return the schema version in the header of an image, or ours where that cannot be."""
    with image.open("rb") as file:
        found = int.from_bytes(file.read(100)[60:64], "big")
    return found if 1 <= found <= SCHEMA_VERSION else SCHEMA_VERSION


def _read_only(image: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{image}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
