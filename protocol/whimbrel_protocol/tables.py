"""Tables of what goes together: an article's number, and the description and price that come with it.

A dictionary may carry such tables beside what zstd refers to (see ``shared``). Columns then say
of a whole column that it follows from another one, and give what does not (see ``columns.following``):
what repeats from frame to frame costs nothing, where a match of zstd costs three bytes each time.

In the head of a body: the names of the events' type, of the key of data that is known and, after
``varint`` their number, 0 to 16, of the keys that follow; ``varint`` number of rows, 1 to 4,096; the known
column, all texts or all integers, no value twice; the columns that follow, of texts, integers, floats,
booleans and nulls. Where nothing follows, the texts themselves are what is shared (see
``columns.knowntexts``): places, reasons, states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
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
)

__all__ = ["KNOWN_TYPES", "Table", "put_table", "read_table"]

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

    @property
    def value_count(self) -> int:
        """How many values it has, the known ones included."""
        return len(self.rows) * (1 + len(self.follows))

    def leads_from(self, known: Sequence[Any]) -> bool:
        """Say whether values are all of the one type that its known ones are."""
        return set(map(type, known)) == {type(next(iter(self.rows)))}


def put_table(out: BodyWriter, names: NameWriter, table: Table) -> None:
    """Append a table; its numbers and types must be the allowed ones."""
    names.put(table.type)
    names.put(table.known)
    put_varint(out.head, len(table.follows))
    for key in table.follows:
        names.put(key)
    put_varint(out.head, len(table.rows))
    write_column(out, list(table.rows))
    for column in zip(*table.rows.values(), strict=True):  # none where nothing follows
        write_column(out, column)


def read_table(body: BodyReader, names: NameReader, values: int) -> Table:
    """Give back a table of at most so many values.

    Raises:
        RemoteProtocolError: malformed, or beyond a limit.
    """
    event_type, known = names.name(), names.name()
    width = body.head.varint(MAX_TABLE_COLUMNS, "number of columns that follow")
    follows = tuple(names.name() for _ in range(width))
    if len({known, *follows}) != 1 + width:
        raise RemoteProtocolError("a table names a key twice")
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
    following = zip(*columns, strict=True) if columns else repeat((), size)
    rows = dict(zip(keys, following, strict=True)) if _are_known(keys) else {}
    if len(rows) != size:
        raise RemoteProtocolError("a table's known values are not texts or integers, each once")
    return Table(event_type, known, follows, rows)


def _are_known(values: Sequence[Any]) -> bool:
    types = set(map(type, values))
    return len(types) == 1 and types <= set(KNOWN_TYPES)
