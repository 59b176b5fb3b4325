"""Whole images of a damaged journal: its pages with the log's laid over them.

An image is a plain database file without a log. Its first page is that of a fresh journal of
the same schema: tables are always created in the same order, so their roots always lie in the
same place, whatever happened to the page that says so.

Two images are made where the log has bad frames: one without them, and one with, since a
frame's page may be whole and only its place be wrong.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

from whimbrel_protocol.sqlitewal import WalFrame, WalScan

from .errors import JournalError, JournalVersionError
from .schema import APPLICATION_ID, PAGE_SIZE_BYTES, SCHEMA_VERSION, connect, prepare

_JOURNAL_FORMATS: Final = slice(18, 20)
_LEGACY: Final = b"\x01\x01"
_CHANGE_COUNTER: Final = slice(24, 28)
_PAGES: Final = slice(28, 32)
_FREELIST: Final = slice(32, 40)
_VERSION: Final = slice(60, 64)
_APPLICATION: Final = slice(68, 72)
_VALID_FOR: Final = slice(92, 96)
_SCHEMA_FROM: Final = 100
_MAX_PAGE: Final = 2**32 - 2


def build_images(database: Path, scan: WalScan, into: Path) -> list[Path]:
    """Write the images of a journal and its log; return them, the better one first.

    Raises:
        JournalVersionError: it is a newer program's, or another one's.
        OSError: there is no room beside it.
    """
    fresh = _fresh_first_page(into)
    frames = _committed(scan)
    images = [into / "image"]
    _write(images[0], database, [frame for frame in frames if frame.good])
    if any(not frame.good for frame in frames):
        images.append(into / "image-with-doubtful-pages")
        _write(images[1], database, frames)
    _check_is_ours(images[0], fresh, database)
    for image in images:
        _transplant(image, fresh)
    return images


def _committed(scan: WalScan) -> list[WalFrame]:
    """Return the frames of the log without an unfinished transaction at its end.

    Where the end is bad it is not known what was committed: all of it is taken.
    """
    frames = list(scan.frames)
    if not scan.has_bad_end:
        while frames and not frames[-1].size_after:
            frames.pop()
    return frames


def _write(image: Path, database: Path, frames: list[WalFrame]) -> None:
    shutil.copyfile(database, image)
    image.chmod(0o600)
    log = database.with_name(database.name + "-wal")
    with image.open("r+b") as out:
        size = out.seek(0, os.SEEK_END)
        # a damaged page number must not make a file of terabytes
        most = size // PAGE_SIZE_BYTES + len(frames) + 1
        if frames:
            with log.open("rb") as source:
                for frame in frames:
                    if 1 <= frame.page <= min(most, _MAX_PAGE):
                        source.seek(frame.offset)
                        out.seek((frame.page - 1) * PAGE_SIZE_BYTES)
                        out.write(source.read(PAGE_SIZE_BYTES))
        size = out.seek(0, os.SEEK_END)
        out.truncate(max(1, -(-size // PAGE_SIZE_BYTES)) * PAGE_SIZE_BYTES)


def _fresh_first_page(into: Path) -> bytes:
    place = into / "fresh"
    connection = connect(place)
    try:
        prepare(connection, place, bytes(8))
        connection.execute("PRAGMA journal_mode = DELETE")
    finally:
        connection.close()
    page = place.read_bytes()[:PAGE_SIZE_BYTES]
    place.unlink()
    return page


def _check_is_ours(image: Path, fresh: bytes, database: Path) -> None:
    """Refuse what is no journal of this version, unless its tables say that it is one."""
    with image.open("rb") as file:
        page = file.read(PAGE_SIZE_BYTES)
    if page[_SCHEMA_FROM:] == fresh[_SCHEMA_FROM:]:
        return  # the tables are ours: whatever the header says is damage
    version = int.from_bytes(page[_VERSION], "big")
    if version > SCHEMA_VERSION and page[_APPLICATION] == fresh[_APPLICATION]:
        raise JournalVersionError(
            f"{database} has schema version {version}, this program knows up to {SCHEMA_VERSION}; "
            "salvage it with the newer program"
        )
    if page.startswith(b"SQLite format 3\x00") and page[_APPLICATION] not in (
        bytes(4),
        APPLICATION_ID.to_bytes(4, "big"),
    ):
        raise JournalVersionError(f"{database} is an SQLite file of another program")


def _transplant(image: Path, fresh: bytes) -> None:
    page = bytearray(fresh)
    page[_JOURNAL_FORMATS] = _LEGACY
    page[_PAGES] = (image.stat().st_size // PAGE_SIZE_BYTES).to_bytes(4, "big")
    page[_FREELIST] = bytes(8)
    page[_VALID_FOR] = page[_CHANGE_COUNTER]
    with image.open("r+b") as out:
        out.write(page)


class ImageReader:
    """Reads rows of an image as far as they can be reached, from both ends of each table."""

    def __init__(self, image: Path) -> None:
        self.unreadable: set[str] = set()
        try:
            self._connection = sqlite3.connect(f"{image.as_uri()}?mode=ro&immutable=1", uri=True)
        except sqlite3.Error as error:
            raise JournalError(f"image {image} cannot be opened: {error}") from error
        self._connection.text_factory = _text

    def rows(self, table: str, key: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table that can be reached, in the order of its key columns."""
        found: dict[tuple[Any, ...], None] = {}
        for direction in ("ASC", "DESC"):
            order = ", ".join(f"{one} {direction}" for one in key.split(", "))
            try:
                for row in self._connection.execute(
                    f"SELECT * FROM {table} ORDER BY {order}"  # noqa: S608 - constant names
                ):
                    found.setdefault(row)
            except (sqlite3.DatabaseError, OverflowError):
                self.unreadable.add(table)
        return list(found)

    def close(self) -> None:
        """Close the image."""
        self._connection.close()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
