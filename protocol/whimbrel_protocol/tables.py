"""Tables of what goes together: an article's number, and the description and price that come with it.

A dictionary may carry such tables beside what zstd refers to (see ``dictionaries``). Columns then say
of a whole column that it follows from another one, and give what does not (see ``columns.following``):
what repeats from frame to frame costs nothing, where a match of zstd costs three bytes each time.

Tables are a body like a frame's (``columns.regions``). In the head: ``varint`` number of tables, 1 to 16;
of each the names of the events' type, of the key of data that is known and, after ``varint`` their
number, 1 to 16, of the keys that follow; ``varint`` number of rows, 1 to 4,096; the known column, all
texts or all integers, no value twice; the columns that follow, of texts, integers, floats, booleans and
nulls. Rows times columns, over all tables, are at most 16,384.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

from whimbrel_protocol.columns.column import read_column, write_column
from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import (
    MAX_TABLE_COLUMNS,
    MAX_TABLE_ROWS,
    MAX_TABLE_VALUES,
    MAX_TABLES,
)

__all__ = ["KNOWN_TYPES", "Table", "read_tables", "write_tables"]

KNOWN_TYPES: Final = (str, int)
"""What a known column may hold, one of them alone: values of which equal ones are the same."""

_FOLLOWING_TYPES: Final = frozenset({str, int, float, bool, NoneType})


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        type: of the events.
        known: the key of data whose values are known when the others are asked for.
        follows: the keys whose values follow from those.
        rows: of each known value what follows from it, in the order of ``follows``.
    """

    type: str
    known: str
    follows: tuple[str, ...]
    rows: Mapping[Any, Sequence[Any]]

    def leads_from(self, known: Sequence[Any]) -> bool:
        """Say whether values are all of the one type that its known ones are."""
        return set(map(type, known)) == {type(next(iter(self.rows)))}


def write_tables(tables: Sequence[Table]) -> bytes:
    """Return tables as bytes; their numbers and types must be the allowed ones."""
    out = BodyWriter()
    names = NameWriter(out)
    put_varint(out.head, len(tables))
    for table in tables:
        names.put(table.type)
        names.put(table.known)
        put_varint(out.head, len(table.follows))
        for key in table.follows:
            names.put(key)
        put_varint(out.head, len(table.rows))
        write_column(out, list(table.rows))
        for column in zip(*table.rows.values(), strict=True):
            write_column(out, column)
    return out.finish()[0]


def read_tables(data: bytes) -> tuple[Table, ...]:
    """Give back the tables.

    Raises:
        RemoteProtocolError: malformed, or beyond a limit.
    """
    body = BodyReader(data)
    names = NameReader(body)
    count = body.head.varint(MAX_TABLES, "number of tables")
    tables: list[Table] = []
    values = 0
    for _ in range(count):
        tables.append(_read_table(body, names, MAX_TABLE_VALUES - values))
        values += len(tables[-1].rows) * (1 + len(tables[-1].follows))
    body.close()
    if not tables:
        raise RemoteProtocolError(f"dictionary has no tables: must be 1 to {MAX_TABLES}")
    return tuple(tables)


def _read_table(body: BodyReader, names: NameReader, values: int) -> Table:
    event_type, known = names.name(), names.name()
    width = body.head.varint(MAX_TABLE_COLUMNS, "number of columns that follow")
    follows = tuple(names.name() for _ in range(width))
    if not follows or len({known, *follows}) != 1 + width:
        raise RemoteProtocolError("a table names no key that follows, or a key twice")
    size = body.head.varint(MAX_TABLE_ROWS, "number of rows")
    if size == 0:
        raise RemoteProtocolError(f"a table has no rows: must be 1 to {MAX_TABLE_ROWS}")
    if size * (1 + width) > values:
        raise RemoteProtocolError(f"tables have more than {MAX_TABLE_VALUES} values together")
    keys = read_column(body, size)
    columns = [read_column(body, size) for _ in follows]
    if not all(set(map(type, column)) <= _FOLLOWING_TYPES for column in columns):
        raise RemoteProtocolError(
            "a table has lists, maps, bytes or decimals: no such value follows"
        )
    rows = dict(zip(keys, zip(*columns, strict=True), strict=True)) if _are_known(keys) else {}
    if len(rows) != size:
        raise RemoteProtocolError("a table's known values are not texts or integers, each once")
    return Table(event_type, known, follows, rows)


def _are_known(values: Sequence[Any]) -> bool:
    types = set(map(type, values))
    return len(types) == 1 and types <= set(KNOWN_TYPES)
