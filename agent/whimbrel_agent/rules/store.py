"""Where rules keep their rows: one table in the buffer's file, so that an accept is one commit.

The table is made when rules are first used. An older program finds a table more and leaves it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from whimbrel_agent.buffer.schema import RULES_TABLE
from whimbrel_agent.buffer.tickets import Aside
from whimbrel_agent.rules.staterows import DefinitionRow, RuleRow, pack_row, unpack_row
from whimbrel_agent.rules.values import RuleConfig

__all__ = ["aside_of", "beginning_of", "has_rows", "read_rows"]

_ROW_BYTES: Final = 16
"""Head of a row in its page."""


def has_rows(connection: sqlite3.Connection) -> bool:
    """Say whether rules were ever used in this file and left something."""
    named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'rules'"
    return connection.execute(named).fetchone() is not None and (
        connection.execute("SELECT 1 FROM rules LIMIT 1").fetchone() is not None
    )


def read_rows(connection: sqlite3.Connection) -> tuple[list[tuple[int, RuleRow]], list[int]]:
    """Give all rows in the order of their ids, and the ids of those that are damaged."""
    if not has_rows(connection):
        return [], []
    sound: list[tuple[int, RuleRow]] = []
    damaged: list[int] = []
    for row_id, body in connection.execute("SELECT id, CAST(body AS BLOB) FROM rules ORDER BY id"):
        row = unpack_row(body or b"")
        if row is None:
            damaged.append(row_id)
        else:
            sound.append((row_id, row))
    return sound, damaged


def aside_of(
    rows: Iterable[tuple[int, RuleRow | None]],
    lane: int,
    keys: Sequence[tuple[bytes, int, int]] = (),
) -> Aside:
    """Give what writes changed rows in the transaction of the events that go on."""
    changed = [(row_id, None if row is None else pack_row(row)) for row_id, row in rows]

    def write(connection: sqlite3.Connection) -> None:
        _write(connection, changed)

    return Aside(write, _size_of(changed), lane, keys)


def beginning_of(gone: Sequence[int], new: Sequence[RuleConfig], next_id: int, lane: int) -> Aside:
    """Give what makes the table, forgets old rows and writes down the rules that are new."""
    changed: list[tuple[int, bytes | None]] = [(row_id, None) for row_id in gone]
    changed += [
        (next_id + place, pack_row(DefinitionRow(config.name, config)))
        for place, config in enumerate(new)
    ]

    def write(connection: sqlite3.Connection) -> None:
        connection.execute(RULES_TABLE)
        _write(connection, changed)

    return Aside(write, _size_of(changed) + 1024, lane)


def _write(connection: sqlite3.Connection, changed: Sequence[tuple[int, bytes | None]]) -> None:
    kept = [(row_id, body) for row_id, body in changed if body is not None]
    connection.executemany("INSERT OR REPLACE INTO rules VALUES (?, ?)", kept)
    gone = [(row_id,) for row_id, body in changed if body is None]
    if gone:
        connection.executemany("DELETE FROM rules WHERE id = ?", gone)


def _size_of(changed: Sequence[tuple[int, bytes | None]]) -> int:
    return sum(_ROW_BYTES + len(body) for _, body in changed if body is not None)
