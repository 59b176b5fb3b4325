"""Columns that follow from another one, by a table that the dictionary has (see ``tables``).

After the kind byte: ``varint`` number of the table, from 0; ``varint`` which of its columns, from 0;
``varint`` place of the known column among the keys of data; ``varint`` number of rows of which the
table says something else, and where there are any a stream of their places, ascending; ``varint``
number of rows that the table does not say or says wrongly, and where there are any a column of
their values, in order. All others are what the table says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from whimbrel_protocol.columns.column import read_column, write_column
from whimbrel_protocol.columns.integers import read_places, write_integers
from whimbrel_protocol.columns.kinds import FOLLOWS
from whimbrel_protocol.columns.knowntexts import KnownTexts
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.series import Shape
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.tables import Table

__all__ = [
    "Following",
    "Way",
    "followers",
    "is_same",
    "leading",
    "read_following",
    "write_following",
]

_WORTH_IT: Final = 2
"""Different values that a table must say of a column: fewer are as short without it."""

_NOTHING: Final = object()

Columns = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Way:
    """How one column follows: numbers of the table and its column, the known column's place."""

    table: int
    column: int
    known: int


def is_same(said: Any, value: Any) -> bool:
    """Say whether a table's value is exactly the event's; a float's zero has a sign, so never."""
    return type(said) is type(value) and said == value and not (type(value) is float and value == 0)


def followers(shape: Shape, columns: Columns, tables: Sequence[Table]) -> dict[int, Way]:
    """Return which columns of data follow, by their places; the first table that fits counts."""
    found: dict[int, Way] = {}
    places = {key: place for place, key in enumerate(shape.keys)}
    for number, table in enumerate(tables):
        known = places.get(table.known)
        if table.type != shape.type or known is None or known in found:
            continue
        if not table.leads_from(columns[known]):
            continue
        leading = {way.known for way in found.values()}
        for column, key in enumerate(table.follows):
            place = places.get(key, known)
            if place == known or place in found or place in leading:
                continue
            if _is_worth_it(columns[known], columns[place], table, column):
                found[place] = Way(number, column, known)
    return found


def leading(
    shape: Shape, place: int, column: Sequence[Any], tables: Sequence[Table]
) -> KnownTexts | None:
    """Return the table that knows most texts of a column of data; one of its type before others."""
    if set(map(type, column)) != {str}:
        return None
    key, texts = shape.keys[place], set(column)
    best, most = None, (0, False)
    for number, table in enumerate(tables):
        if table.known == key and type(next(iter(table.rows))) is str:
            knows = (len(texts & table.rows.keys()), table.type == shape.type)
            if knows > most and knows[0]:
                best, most = KnownTexts(number, table.rows), knows
    return best


def _is_worth_it(known: Sequence[Any], values: Sequence[Any], table: Table, column: int) -> bool:
    right: set[Any] = set()
    for key, value in zip(known, values, strict=True):
        row = table.rows.get(key)
        if row is not None and is_same(row[column], value):
            right.add(key)
            if len(right) >= _WORTH_IT:
                return True
    return False


def write_following(out: BodyWriter, way: Way, columns: Columns, place: int, table: Table) -> None:
    """Append the column at ``place``, with its kind byte."""
    wrong: list[int] = []
    rest: list[Any] = []
    for at, (key, value) in enumerate(zip(columns[way.known], columns[place], strict=True)):
        row = table.rows.get(key)
        if row is None:
            rest.append(value)
        elif not is_same(row[way.column], value):
            wrong.append(at)
            rest.append(value)
    out.following = True
    out.head.append(FOLLOWS)
    for number in (way.table, way.column, way.known, len(wrong)):
        put_varint(out.head, number)
    if wrong:
        write_integers(out, wrong)
    put_varint(out.head, len(rest))
    if rest:
        write_column(out, rest)


@dataclass(frozen=True, slots=True)
class Following:
    """What was read of a column whose known column may come later."""

    table: Table
    column: int
    known: int
    wrong: Sequence[int]
    rest: Sequence[Any]

    def resolve(self, columns: Sequence[Any]) -> list[Any]:
        """Return the values, given what was read of all columns.

        Raises:
            RemoteProtocolError: the known column is of other values, or rows do not add up.
        """
        known, rows, column = columns[self.known], self.table.rows, self.column
        if not isinstance(known, list) or not self.table.leads_from(known):
            raise RemoteProtocolError("a column follows from one of other values than its table's")
        values = [rows[key][column] if key in rows else _NOTHING for key in known]
        for at in self.wrong:
            if values[at] is _NOTHING:
                raise RemoteProtocolError("a table is said to be wrong where it says nothing")
            values[at] = _NOTHING
        open_rows = sum(value is _NOTHING for value in values)
        if open_rows != len(self.rest):
            raise RemoteProtocolError(
                f"a column gives {len(self.rest)} values: its table leaves {open_rows} open"
            )
        rest = iter(self.rest)
        return [next(rest) if value is _NOTHING else value for value in values]


def read_following(
    body: BodyReader, count: int, place: int, keys: int, tables: Sequence[Table]
) -> Following:
    """Read what stands after the kind byte.

    Args:
        body: to read from.
        count: of rows.
        place: of this column.
        keys: how many columns of data there are.
        tables: of the dictionary.

    Raises:
        RemoteProtocolError: malformed.
    """
    if not tables:
        raise RemoteProtocolError("a column follows from another one, and there are no tables")
    table = tables[body.head.varint(len(tables) - 1, "number of a table")]
    column = body.head.varint(len(table.follows) - 1, "number of a table's column")
    known = body.head.varint(keys - 1, "place of a column")
    if known == place:
        raise RemoteProtocolError("a column follows from itself")
    wrong = read_places(body, body.head.varint(count, "number of rows"), count)
    rest_rows = body.head.varint(count, "number of rows")
    rest = read_column(body, rest_rows) if rest_rows else []
    return Following(table, column, known, wrong, rest)
