"""Tables as they would have been: without the rows that came only with what they are judged on.

A table made of some frames knows all articles of these; of the next ones it will not. So frames are judged and
laid out by tables in which such rows stand under another name. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from whimbrel_protocol.event import Event
from whimbrel_protocol.shared import Shared
from whimbrel_protocol.tables import Table

Known = dict[int, set[Any]]
"""By the number of a table the values that it knew."""

_FAR: Final = -(2**62)
"""Numbers below stand for nothing that came."""


class Hindsight:
    """What tables knew when frames were sealed, one after the other.

    Attributes:
        known: before the first frame what ``before`` knew, then what came as well. Grows.
    """

    def __init__(self, shared: Shared, before: Shared) -> None:
        rows = {(table.type, table.known): table.rows for table in before.tables}
        self._tables: dict[tuple[str, str], int] = {}
        self.known: Known = {}
        for number, table in enumerate(shared.tables):
            name = (table.type, table.known)
            self._tables[name] = number
            self.known[number] = {value for value in rows.get(name, ()) if value in table.rows}

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame."""
        for event in events:
            for key, value in event.data.items():
                number = self._tables.get((event.type, key))
                if number is not None and type(value) in {str, int}:
                    self.known[number].add(value)


def as_of(shared: Shared, known: Known) -> Shared:
    """Return what is shared with rows that only what is known can be found in; their places stay."""
    tables = (_as_of(table, known[number]) for number, table in enumerate(shared.tables))
    return replace(shared, tables=tuple(tables)) if shared.tables else shared


def _as_of(table: Table, known: set[Any]) -> Table:
    texts = type(next(iter(table.rows))) is str
    rows = {
        value if value in known else f"\0{at}" if texts else _FAR - at: row
        for at, (value, row) in enumerate(table.rows.items())
    }
    return replace(table, rows=rows)
