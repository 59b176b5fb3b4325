"""What an import reads: CSV and NDJSON files, tables of SQLite files. Read-only, row by row.

Every row comes with the position at which reading goes on after it (a byte, or a row id), so
that an import can be taken up again without reading everything before.
"""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from urllib.parse import quote

from whimbrel_agent.intake.bodies import MAX_LINE_BYTES
from whimbrel_agent.intake.jsontext import parse_json
from whimbrel_protocol.errors import FieldError, WhimbrelError

__all__ = ["BadRow", "CsvSource", "NdjsonSource", "Row", "Source", "SourceError", "TableSource"]

HEAD_BYTES: Final = 4096
"""So much of a file's beginning names it: a file that grows remains the same source."""

PAGE_ROWS: Final = 500
"""Rows read from a table at once; between pages its writers are not held up."""


class SourceError(WhimbrelError):
    """A source cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 1, where reading goes on after it, its values by column."""

    number: int
    position: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that could not be read, and why."""

    number: int
    position: int
    value: str
    rule: str


class Source(Protocol):
    """Rows in an order that never changes."""

    def rows(self, position: int, number: int) -> Iterator[Row | BadRow]:
        """Yield the rows after a position (0: all); ``number`` rows were before it."""
        ...

    def fingerprint(self, description: str) -> bytes:
        """Give 16 bytes that name this source together with a mapping's description."""
        ...

    def total(self) -> int:
        """Give the position after the last row, as far as it is known now."""
        ...


class _FileSource:
    """What CSV and NDJSON files share."""

    kind = ""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fingerprint(self, description: str) -> bytes:
        """Name the file by its beginning, so that a moved or grown file is still the same."""
        with self._open() as stream:
            head = stream.readline(HEAD_BYTES)
        return _fingerprint(self.kind, head, description)

    def total(self) -> int:
        """Give the file's size in bytes."""
        return self.path.stat().st_size

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as exc:
            raise SourceError(f"{self.path} cannot be read: {exc.strerror}") from exc

    def _line(self, stream: BinaryIO) -> bytes:
        line = stream.readline(MAX_LINE_BYTES)
        if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise SourceError(
                f"{self.path} has a line of over {MAX_LINE_BYTES} bytes at byte {stream.tell()}"
            )
        return line


class NdjsonSource(_FileSource):
    """One JSON object a line."""

    kind = "ndjson"

    def rows(self, position: int, number: int) -> Iterator[Row | BadRow]:
        """Yield the objects after a byte position; blank lines count as rows and are passed."""
        with self._open() as stream:
            stream.seek(position)
            while line := self._line(stream):
                number += 1
                position += len(line)
                if not line.strip():
                    continue
                yield _object(line, number, position)


class CsvSource(_FileSource):
    """Comma-separated values with a header line (RFC 4180; quoted fields may hold lines)."""

    kind = "csv"

    def __init__(self, path: Path, *, delimiter: str = ",", encoding: str = "utf-8") -> None:
        super().__init__(path)
        self._delimiter = delimiter
        self._encoding = encoding

    def rows(self, position: int, number: int) -> Iterator[Row | BadRow]:
        """Yield the rows after a byte position; the header is read in any case."""
        with self._open() as stream:
            lines = _Lines(self, stream)
            header = self._header(lines)
            if position:
                stream.seek(position)
                lines.position = position
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            while True:
                try:
                    cells = next(reader, None)
                except (csv.Error, UnicodeDecodeError) as exc:
                    number += 1
                    yield BadRow(number, lines.position, lines.last, f"must be CSV ({exc})")
                    continue
                if cells is None:
                    return
                number += 1
                if not cells:
                    continue
                if len(cells) != len(header):
                    rule = f"must have {len(header)} cells like the header, has {len(cells)}"
                    yield BadRow(number, lines.position, lines.last, rule)
                else:
                    yield Row(number, lines.position, dict(zip(header, cells, strict=True)))

    def decode(self, line: bytes) -> str:
        """Decode one line of the file."""
        return line.decode(self._encoding)

    def next_line(self, stream: BinaryIO) -> bytes:
        """Read one line within the limit."""
        return self._line(stream)

    def _header(self, lines: _Lines) -> list[str]:
        try:
            header = next(csv.reader(lines, delimiter=self._delimiter, strict=True), [])
        except (csv.Error, UnicodeDecodeError) as exc:
            raise SourceError(f"{self.path} has no readable header: {exc}") from exc
        names = [name.removeprefix("\ufeff").strip() for name in header]
        if not names or len(set(names)) != len(names) or "" in names:
            raise SourceError(
                f"{self.path} must begin with a header of different names, has {header!r:.200}"
            )
        return names


class _Lines:
    """Lines for the csv module, counting the bytes it has taken."""

    def __init__(self, source: CsvSource, stream: BinaryIO) -> None:
        self._source = source
        self._stream = stream
        self.position = 0
        self.last = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._source.next_line(self._stream)
        if not line:
            raise StopIteration
        self.position += len(line)
        self.last = line[:80].decode("ascii", "replace")
        return self._source.decode(line)


class TableSource:
    """One table of a SQLite file, in the order of its row ids."""

    def __init__(self, path: Path, table: str) -> None:
        self.path = path
        self.table = table
        if not path.is_file():
            raise SourceError(f"{path} is no file")
        self._connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        self._connection.text_factory = _text_or_bytes
        try:
            self._columns = [
                str(row[0])
                for row in self._connection.execute(
                    "SELECT name FROM pragma_table_info(?)", (table,)
                )
            ]
            self._row_id = self._row_id_name()
        except sqlite3.Error as exc:
            self.close()
            raise SourceError(f"{path} table {table}: {exc}") from exc

    def rows(self, position: int, number: int) -> Iterator[Row | BadRow]:
        """Yield the rows whose id is greater than ``position``."""
        names = ", ".join(_quoted(name) for name in self._columns)
        query = (
            f"SELECT {self._row_id}, {names} FROM {_quoted(self.table)} "  # noqa: S608  quoted
            f"WHERE {self._row_id} > ? ORDER BY {self._row_id} LIMIT {PAGE_ROWS}"
        )
        if number == 0:
            position = -(2**63)
        while True:
            try:
                page = self._connection.execute(query, (position,)).fetchall()
            except sqlite3.Error as exc:
                raise SourceError(f"{self.path} table {self.table}: {exc}") from exc
            if not page:
                return
            for row_id, *cells in page:
                number += 1
                position = row_id
                yield Row(number, position, dict(zip(self._columns, cells, strict=True)))

    def fingerprint(self, description: str) -> bytes:
        """Name the table by its name and columns."""
        head = repr((self.table, self._columns)).encode()
        return _fingerprint("sqlite", head, description)

    def total(self) -> int:
        """Give the greatest row id."""
        query = f"SELECT max({self._row_id}) FROM {_quoted(self.table)}"  # noqa: S608  quoted
        return int(self._connection.execute(query).fetchone()[0] or 0)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _row_id_name(self) -> str:
        if not self._columns:
            raise SourceError(f"{self.path} has no table {self.table!r}")
        taken = {name.lower() for name in self._columns}
        free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
        # an INTEGER PRIMARY KEY called rowid is the row id itself
        name = free[0] if free else "rowid"
        try:
            self._connection.execute(
                f"SELECT {name} FROM {_quoted(self.table)} LIMIT 1"  # noqa: S608  quoted
            )
        except sqlite3.OperationalError as exc:
            raise SourceError(
                f"{self.path} {self.table!r} has no row ids (a view, or WITHOUT ROWID): copy it "
                "into a table first"
            ) from exc
        return name


def _object(line: bytes, number: int, position: int) -> Row | BadRow:
    try:
        value = parse_json(line)
    except FieldError as exc:
        return BadRow(number, position, exc.value, exc.rule)
    if type(value) is not dict:
        return BadRow(number, position, repr(value)[:80], "must be one JSON object a line")
    return Row(number, position, value)


def _fingerprint(kind: str, head: bytes, description: str) -> bytes:
    digest = hashlib.sha256()
    for part in (kind.encode(), head, description.encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()[:16]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text_or_bytes(raw: bytes) -> str | bytes:
    """Keep text that is no UTF-8 as the bytes it is, rather than refuse its row."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
