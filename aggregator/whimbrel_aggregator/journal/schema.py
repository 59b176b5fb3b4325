"""The journal's SQLite file: tables, schema version, pragmas.

==============  ==========================================================================
table           what a row is
==============  ==========================================================================
``meta``        one fact about the file: generation, whether it is an unopened backup
``partitions``  a (tenant, store): oldest offset kept, head, newest receive time, operations
``devices``     a device, enrolled, removed or only seen: epoch floor, forks
``device_keys`` a public key that a device may sign with
``streams``     a (device, epoch, lane): its settled ranges; kept until it is folded
``frames``      a frame; rowid = partition id << 40 | offset, so that a partition is one run
``frame_index`` (stream, first) -> offset of the frame, while the frame is kept
``consumers``   a consumer that retention must wait for
``cursors``     a consumer's position in a partition, with the generation it belongs to
``parked``      an event that a sink refused for good
``dictionaries`` what columns of a device may refer to; kept while a frame names it
==============  ==========================================================================

SQLite keeps no page checksums, so every row that decides something carries a CRC over its
own columns and its key (see :mod:`.rows`); a frame's bytes are checked by their digest.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from .errors import JournalVersionError

APPLICATION_ID: Final = 0x57684A31  # "WhJ1": tells a journal from any other SQLite file
SCHEMA_VERSION: Final = 2
PAGE_SIZE_BYTES: Final = 4096
"""Measured with 8 KiB frames in groups of 256: 4 and 8 KiB pages do 6,400 frames/s, 16 KiB
3,300; 4 KiB wastes least behind a frame's tail."""

OFFSET_BITS: Final = 40
MAX_OFFSET: Final = 2**OFFSET_BITS - 1

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL, store TEXT NOT NULL,
    oldest INTEGER NOT NULL, head INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    operations BLOB NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (tenant, store)
);
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL, store TEXT NOT NULL, device TEXT NOT NULL,
    partition INTEGER NOT NULL,
    region TEXT NOT NULL, label TEXT NOT NULL,
    enrolled_ns INTEGER, removed_ns INTEGER,
    epoch_floor INTEGER NOT NULL, forks INTEGER NOT NULL, seen_ns INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    UNIQUE (tenant, store, device)
);
CREATE TABLE device_keys (
    device INTEGER NOT NULL, public_key BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (device, public_key)
) WITHOUT ROWID;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    ranges BLOB NOT NULL,
    UNIQUE (device, epoch, lane)
);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL, first INTEGER NOT NULL, span INTEGER NOT NULL,
    count INTEGER NOT NULL, reason INTEGER NOT NULL, fork INTEGER NOT NULL,
    received_ns INTEGER NOT NULL, time_min_ns INTEGER NOT NULL, time_max_ns INTEGER NOT NULL,
    zones TEXT NOT NULL, digest BLOB NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE frame_index (
    stream INTEGER NOT NULL, first INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;
CREATE TABLE consumers (name TEXT PRIMARY KEY, attached_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cursors (
    consumer TEXT NOT NULL, partition INTEGER NOT NULL,
    generation BLOB NOT NULL, position INTEGER NOT NULL, updated_ns INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition)
) WITHOUT ROWID;
CREATE TABLE parked (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer TEXT NOT NULL, partition INTEGER NOT NULL, position INTEGER NOT NULL,
    item INTEGER NOT NULL, event_id TEXT NOT NULL, reason TEXT NOT NULL,
    parked_ns INTEGER NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (consumer, partition, position, item)
);
"""

_DICTIONARIES: Final = """
CREATE TABLE dictionaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL, name BLOB NOT NULL, through INTEGER NOT NULL,
    content BLOB NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (device, name)
);
"""

_UPGRADES: Final[dict[int, str]] = {1: _DICTIONARIES}
"""Statements that bring a file from version n (the key) to n + 1."""


def _check_mode(mode: str) -> None:
    if mode != "wal":
        raise sqlite3.OperationalError(f"the write-ahead log cannot be used (mode is {mode})")


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a connection with this program's pragmas; the caller begins transactions.

    Raises:
        sqlite3.Error: SQLite cannot open the file.
    """
    mode = "ro" if readonly else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time uses it: see runner.py
        cached_statements=128,
    )
    try:
        # a damaged text must come back, so that its row's checksum can tell
        connection.text_factory = _text
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cache_size = -8192")  # 8 MiB a connection
        if readonly:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
            # Where its first write fails, SQLite keeps the mode that was, and says so only in its
            # answer. A commit in that mode is undone by a power cut right after it.
            (kept,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            _check_mode(kept)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def has_its_tables(connection: sqlite3.Connection) -> bool:
    """Say whether the schema reads as it was written: SQLite's own check passes a renamed column."""
    query = "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master"
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(_TABLES)
        found = set(connection.execute(query))
        if not set(fresh.execute(query)) <= found:
            return False
        for script in _UPGRADES.values():
            fresh.executescript(script)
        # where an upgrade put its tables depends on what the file held by then
        return {_placeless(row) for row in fresh.execute(query)} <= set(map(_placeless, found))


def _placeless(row: tuple[object, ...]) -> tuple[object, ...]:
    return (*row[:3], row[4])


MAX_UNBORN_BYTES: Final = 64 * 1024
"""What SQLite may have given a new file before its first commit: a page or two."""


def is_unborn(path: Path) -> bool:
    """Say whether a power cut left the file before anything was ever committed to it.

    It is all zeros then, since its size reaches the disk before its contents do, and SQLite takes
    it for no database, unless the journal that would undo the growth has arrived.
    """
    if not 0 < path.stat().st_size <= MAX_UNBORN_BYTES or any(path.read_bytes()):
        return False
    log = path.with_name(f"{path.name}-wal")
    return not log.exists() or not log.stat().st_size


def forget_unborn(path: Path) -> None:
    """Empty such a file: what is made of it is new.

    Raises:
        OSError: it cannot be read or emptied.
    """
    if path.exists() and is_unborn(path):
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        os.truncate(path, 0)


def check_before_opening(path: Path) -> None:
    """Refuse a file of a newer program, or of another one, without writing a byte to it.

    Raises:
        JournalVersionError: it is one of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    if not head or is_unborn(path):
        return
    if len(head) < 100 or not head.startswith(b"SQLite format 3\x00"):
        raise JournalVersionError(
            f"{path} is not a journal (no SQLite header); name another file, or salvage it"
        )
    version = int.from_bytes(head[60:64], "big")
    application = int.from_bytes(head[68:72], "big")
    if application not in (0, APPLICATION_ID):
        raise JournalVersionError(
            f"{path} is an SQLite file of another program (application id {application:#x}); "
            "name another file"
        )
    if version > SCHEMA_VERSION:
        raise JournalVersionError(
            f"{path} has schema version {version}, this program knows up to {SCHEMA_VERSION}; "
            "it was left unchanged: run the newer program"
        )


def prepare(connection: sqlite3.Connection, path: Path, generation: bytes) -> None:
    """Create the tables in a new file, or upgrade an older one, in one transaction.

    Raises:
        JournalVersionError: the file is newer than this program, or no journal.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _bring_up_to_date(connection, path, generation)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
            connection.execute("ROLLBACK")
        raise


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, generation: bytes) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:  # it was in the write-ahead log, not yet in the header
        raise JournalVersionError(
            f"{path} has schema version {version}, this program knows up to {SCHEMA_VERSION}; "
            "run the newer program"
        )
    if version == 0:
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise JournalVersionError(f"{path} has tables of another program; name another file")
        _execute_all(connection, _TABLES)
        connection.execute("INSERT INTO meta VALUES ('generation', ?)", (generation,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for step in range(max(1, version), SCHEMA_VERSION):
        _execute_all(connection, _UPGRADES[step])
    if version != SCHEMA_VERSION:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if connection.execute("DELETE FROM meta WHERE key = 'backup'").rowcount:
        # a backup is behind the receipts given since: it lives on as a new generation
        connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (generation,))


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    # executescript would commit the transaction that this must be part of
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)
