"""Tables of the buffer file, its version, and the upgrades between versions.

====================  ==================================================================
table                 rows
====================  ==================================================================
staged                events accepted and not yet sealed; see ``staging`` for the bytes
bodies                bytes of frames; immutable
pending               one small row per frame that waits for its receipt, in send order
receipted             the same for frames kept after their receipt while there is room
streams               per (epoch, lane): sealed through, and the settled ranges
epochs                per epoch: address, boot id and order modes
ledger                per lane and outcome: how many events
keys                  idempotency keys, one row per commit that brought some
checkpoints           positions of importers, durable together with their events
dictionaries          what frames here may refer to; see ``shelf``
quarantine            what was found damaged, kept aside for people
facts                 single values, such as the journal generation
rules                 states of edge rules, with a checksum in each body; made when rules are
                      first used, and in no schema version: a program without rules leaves it
====================  ==================================================================

Ids of frames and staged rows are ``lane << 56 | n``: a lane's rows lie together and in order,
so that no index is needed to walk one. ``sum`` columns are CRC-32 checksums of their row's
other columns, since SQLite has none.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from typing import Final

from whimbrel_agent.buffer.values import BufferVersionError

SCHEMA_VERSION: Final = 3
APPLICATION_ID: Final = 0x57424631
"""``WBF1``: tells a buffer file from any other SQLite file."""

LANE_SHIFT: Final = 56

_FRAME_COLUMNS: Final = """(
    id INTEGER PRIMARY KEY,
    body INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    span INTEGER NOT NULL,
    count INTEGER NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL,
    sum INTEGER NOT NULL
)"""

_VERSION_1: Final = f"""
CREATE TABLE staged (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE pending {_FRAME_COLUMNS};
CREATE UNIQUE INDEX pending_range ON pending (epoch, id >> {LANE_SHIFT}, first);
CREATE TABLE receipted {_FRAME_COLUMNS};
CREATE TABLE streams (
    epoch INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    sealed_through INTEGER NOT NULL,
    settled BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane)
) WITHOUT ROWID;
CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY,
    address TEXT NOT NULL,
    boot_id BLOB NOT NULL,
    orders BLOB NOT NULL,
    sum INTEGER NOT NULL
);
CREATE TABLE ledger (
    lane INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    events INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (lane, outcome)
) WITHOUT ROWID;
CREATE TABLE keys (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL, why TEXT NOT NULL, data BLOB NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL)
    WITHOUT ROWID;
"""

_VERSION_2: Final = """
CREATE TABLE checkpoints (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value BLOB NOT NULL, sum INTEGER NOT NULL
);
"""

_VERSION_3: Final = """
CREATE TABLE dictionaries (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL,
    content BLOB NOT NULL,
    through INTEGER NOT NULL,
    address TEXT NOT NULL,
    generation BLOB NOT NULL,
    sum INTEGER NOT NULL
);
"""

LATER_TABLES: Final = ("checkpoints", "dictionaries")
"""Tables that upgrades made: where they lie in a file depends on what it held by then."""

RULES_TABLE: Final = "CREATE TABLE IF NOT EXISTS rules (id INTEGER PRIMARY KEY, body BLOB NOT NULL)"

_STEPS: Final[dict[int, str]] = {0: _VERSION_1, 1: _VERSION_2, 2: _VERSION_3}
"""Version found -> statements that lead to the next one."""


def row_sum(*columns: object) -> int:
    """Return the checksum of a row's columns."""
    return zlib.crc32(repr(columns).encode())


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of an open file; 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection, name: str, *, to: int = SCHEMA_VERSION) -> None:
    """Bring an open file to a schema version, in one transaction.

    Args:
        connection: in autocommit mode.
        name: the file's name, for errors.
        to: the version wanted; tests make old files with it.

    Raises:
        BufferVersionError: a newer program wrote the file; it was not changed.
    """
    found = version_of(connection)
    if found and (said := _version_in_facts(connection)) and said != found:
        raise sqlite3.DatabaseError(f"header says schema version {found}, facts say {said}")
    if found > SCHEMA_VERSION:
        raise BufferVersionError(
            f"buffer {name} has schema version {found}, this program knows up to "
            f"{SCHEMA_VERSION}; it was left unchanged: install the newer program again"
        )
    if found and not _has_its_tables(connection, found):
        raise sqlite3.DatabaseError("the tables are not as they were made")
    if found >= to:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(found, to):
            for statement in _STEPS[version].split(";"):
                connection.execute(statement)
        value = to.to_bytes(4, "big")
        connection.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)",
            ("schema", value, row_sum("schema", value)),
        )
        connection.execute(f"PRAGMA user_version = {to}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
            connection.execute("ROLLBACK")
        raise


def _has_its_tables(connection: sqlite3.Connection, version: int) -> bool:
    """Say whether the schema reads as it was written: SQLite's own check passes a renamed column."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    with closing(sqlite3.connect(":memory:")) as fresh:
        for step in range(version):
            fresh.executescript(_STEPS[step])
        return set(fresh.execute(query)) <= set(connection.execute(query))


def _version_in_facts(connection: sqlite3.Connection) -> int | None:
    """Return the version as the checksummed row has it: the header's number has no checksum."""
    try:
        found = connection.execute("SELECT value, sum FROM facts WHERE name = 'schema'").fetchone()
    except sqlite3.OperationalError:
        return None  # a newer schema may name its tables otherwise
    if found is None or row_sum("schema", found[0]) != found[1]:
        return None
    return int.from_bytes(found[0], "big")
