"""What goes together in what is sealed: collects rows for a dictionary's tables.

An article's description and price follow from its number, a sensor's label from its id. Every two keys
of a type's data are a candidate at first; those whose values do not come again, or differ when they
do, are dropped at the next look, and for each key that follows the best one stays. Memory is bounded
by rows. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, permutations
from types import NoneType
from typing import Any, Final

from whimbrel_protocol.columns.following import is_same
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import (
    MAX_TABLE_COLUMNS,
    MAX_TABLE_ROWS,
    MAX_TABLE_VALUES,
    MAX_TABLES_BYTES,
)
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, write_shared
from whimbrel_protocol.tables import KNOWN_TYPES, Table

MAX_MADE: Final = 16
"""Tables at most; a dictionary has room for more, of which less is saved."""

MAX_KEPT: Final = 2_048
"""Rows of one candidate, the ones that came last. A table has room for about as many articles."""

MAX_CANDIDATES: Final = 48
"""Every two of seven keys of one type; more are looked at when some of these were dropped."""

LOOKED_AT: Final = 128
"""About so many events of one frame at most for a candidate that has not shown what it is good for: what goes together
shows in some. Those that hold see every event, for the rows."""

MAX_TEXT_CHARS: Final = 512
"""Longer texts are no names of things."""

LEAST_RIGHT: Final = 8
"""Values must have come again with the same so often before a table is made of them."""

LEAST_TIMES: Final = 4
"""And so many times as often as with another one."""

NEAR: Final = 32
"""What comes again within so many values belongs to one happening, as a receipt does to its lines: no
table made later has a use of it."""

ROWS_A_RIGHT: Final = 16
"""More rows than so many for each that came again: receipts, not articles."""

NUMBER_CHARS: Final = 2
"""What a number costs, beside a text of so many characters."""

_NUMBER_BYTES: Final = 3
"""What a number of a table takes in most columns."""

_Name = tuple[str, str, str]
_FOLLOWING_TYPES: Final = (str, int, float, bool)
"""A key that is null each time follows from everything, and costs nothing."""

_NOTHING: Final = object()


class _Candidate:
    """What came of one type's two keys, and how well it held."""

    __slots__ = ("_latest", "near", "right", "rows", "saved_chars", "wrong")

    def __init__(self) -> None:
        self._latest: deque[Any] = deque(maxlen=NEAR)
        self.rows: dict[Any, Any] = {}  # the ones that came last are at the end
        self.near = self.right = self.wrong = self.saved_chars = 0

    @property
    def holds(self) -> bool:
        """Whether it is good for a table; a few words come again all the time, and are always near."""
        are_few = self.near >= LEAST_TIMES * len(self.rows)
        right = self.right + (self.near if are_few else 0)
        return right >= LEAST_RIGHT and right >= LEAST_TIMES * self.wrong

    @property
    def is_hopeless(self) -> bool:
        """Whether it has shown that no table will be made of it."""
        differs = self.wrong >= LEAST_RIGHT and not self.holds
        return differs or len(self.rows) > ROWS_A_RIGHT * (self.right + LEAST_RIGHT)

    def saw(self, found: Iterable[tuple[Any, Any]]) -> None:
        """Take the different pairs of one frame."""
        rows = self.rows
        for known, follows in found:
            is_near = known in self._latest
            self._latest.append(known)
            before = rows.pop(known, _NOTHING)
            rows[known] = follows
            if before is _NOTHING:
                continue
            if not is_same(before, follows):
                self.wrong += 1
                continue
            self.saved_chars += _chars(follows)
            if is_near:
                self.near += 1
            else:
                self.right += 1
        while len(rows) > MAX_KEPT:
            del rows[next(iter(rows))]

    def take_up(self, rows: Mapping[Any, Any]) -> None:
        """Begin with what another process found good."""
        self.rows = {**rows, **self.rows}
        self.right += len(rows)
        self.saved_chars += sum(map(_chars, rows.values()))


class Relations:
    """Collects rows of one device's events."""

    def __init__(self) -> None:
        self._candidates: dict[_Name, _Candidate] = {}
        self._dropped: set[_Name] = set()
        self._taken_up = False

    def take_up(self, tables: Sequence[Table]) -> None:
        """Go on from a dictionary's tables that another process made; once."""
        if self._taken_up or not tables:
            return
        self._taken_up = True
        for table in tables:
            for column, key in enumerate(table.follows):
                one = self._candidates.setdefault((table.type, table.known, key), _Candidate())
                one.take_up({known: row[column] for known, row in table.rows.items()})

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame that was sealed."""
        by_type: dict[str, list[Event]] = {}
        for event in events:
            by_type.setdefault(event.type, []).append(event)
        for event_type, of_type in by_type.items():
            some = of_type[: -(-LOOKED_AT * len(of_type) // len(events))]
            for name in self._names(event_type, some):
                candidate = self._candidates[name]
                looked_at = of_type if candidate.holds else some
                candidate.saw(_pairs_of(looked_at, *name[1:]))

    def _names(self, event_type: str, events: Sequence[Event]) -> Iterator[_Name]:
        types = _types_of(events)
        for known, follows in permutations(types, 2):
            name = (event_type, known, follows)
            if types[known] not in KNOWN_TYPES or name in self._dropped:
                continue
            if name not in self._candidates:
                if len(self._candidates) >= MAX_CANDIDATES:
                    continue
                self._candidates[name] = _Candidate()
            yield name

    def look(self) -> None:
        """Drop candidates that no table is made of; new ones are looked at from now on."""
        chosen = {name for names in self._chosen().values() for name in names}
        for name, candidate in list(self._candidates.items()):
            beaten = candidate.holds and name not in chosen
            if candidate.is_hopeless or beaten:
                del self._candidates[name]
                self._dropped.add(name)
        if len(self._dropped) > 4 * MAX_CANDIDATES:
            self._dropped.clear()

    def _chosen(self) -> dict[tuple[str, str], list[_Name]]:
        """Return the candidates for tables by type and known key, the most useful first."""
        tables: dict[tuple[str, str], list[_Name]] = {}
        following: set[tuple[str, str]] = set()
        order = sorted(self._candidates.items(), key=lambda item: (-item[1].saved_chars, item[0]))
        for name, candidate in order:
            event_type, known, follows = name
            lead, end = (event_type, known), (event_type, follows)
            if not candidate.saved_chars or not candidate.holds:
                continue
            if lead in following or end in following or end in tables:
                continue
            if lead not in tables and len(tables) >= MAX_MADE:
                continue
            names = tables.setdefault(lead, [])
            if len(names) < MAX_TABLE_COLUMNS:
                names.append(name)
                following.add(end)
        return tables

    def tables(self, beside: Shared = NOTHING_SHARED) -> tuple[Table, ...]:
        """Return the tables that would be made now, the most useful first.

        Args:
            beside: formulas and a roster that share their room.
        """
        room_bytes = MAX_TABLES_BYTES - len(write_shared(beside))
        while True:
            made = self._made(room_bytes)
            if len(write_shared(replace(beside, tables=made))) <= MAX_TABLES_BYTES:
                return made
            room_bytes -= MAX_TABLES_BYTES // 8

    def _made(self, room_bytes: int) -> tuple[Table, ...]:
        made: list[Table] = []
        values = MAX_TABLE_VALUES
        for (event_type, known), names in self._chosen().items():
            columns = [self._candidates[name].rows for name in names]
            most = min(MAX_TABLE_ROWS, values // (1 + len(names)))
            rows, room_bytes = _rows_of(columns, room_bytes, most)
            values -= len(rows) * (1 + len(names))
            if rows:
                made.append(Table(event_type, known, tuple(name[2] for name in names), rows))
        return tuple(made)


def _rows_of(
    columns: Sequence[Mapping[Any, Any]], room_bytes: int, most: int
) -> tuple[dict[Any, tuple[Any, ...]], int]:
    """Return at most so many rows that came last and have all columns, and the bytes left."""
    rows: dict[Any, tuple[Any, ...]] = {}
    for known in reversed(columns[0]):
        if not all(known in column for column in columns) or len(rows) >= most:
            continue
        row = tuple(column[known] for column in columns)
        size_bytes = sum(map(_about_bytes, (known, *row)))
        if size_bytes > room_bytes:
            break
        rows[known] = row
        room_bytes -= size_bytes
    only = {type(known) for known in rows}
    if len(only) > 1:  # a column is of one kind
        rows = {known: row for known, row in rows.items() if type(known) is str}
    return dict(sorted(rows.items())), room_bytes


def _types_of(events: Sequence[Event]) -> dict[str, type]:
    """Return the type of the first value of each key that may follow, but for null."""
    types: dict[str, type] = {}
    for key in dict.fromkeys(chain.from_iterable(event.data for event in events)):
        found = (type(event.data.get(key)) for event in events)
        first = next((one for one in found if one is not NoneType), NoneType)
        if first in _FOLLOWING_TYPES:
            types[key] = first
    return types


def _chars(value: Any) -> int:
    if value is None:
        return 0
    return len(value) if type(value) is str else NUMBER_CHARS


def _about_bytes(value: Any) -> int:
    return len(value.encode()) + 1 if type(value) is str else _NUMBER_BYTES


def _pairs_of(events: Sequence[Event], known: str, follows: str) -> Iterable[tuple[Any, Any]]:
    """Return the different pairs of two keys' values, in the order in which they come."""
    data = (event.data for event in events)
    pairs = ((one[known], one[follows]) for one in data if known in one and follows in one)
    return dict.fromkeys((a, b) for a, b in pairs if _is_thing(a) and _can_follow(b))


def _is_thing(value: Any) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) is str and len(value) <= MAX_TEXT_CHARS


def _can_follow(value: Any) -> bool:
    if type(value) is float:
        return is_same(value, value)  # neither NaN nor a zero, whose sign counts
    return value is None or type(value) is bool or _is_thing(value)
