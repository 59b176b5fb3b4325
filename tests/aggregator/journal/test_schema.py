from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from whimbrel_aggregator.journal import schema


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return version


def prepared(path: Path) -> None:
    connection = schema.connect(path)
    try:
        schema.prepare(connection, path, b"g" * 8)
    finally:
        connection.close()


def test_an_older_file_is_upgraded_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    prepared(path)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    upgrades = {1: "CREATE TABLE first (a); CREATE TABLE second (b)", 2: "CREATE TABLE first (c)"}
    monkeypatch.setattr(schema, "_UPGRADES", upgrades)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        prepared(path)
    assert version_of(path) == 1
    upgrades[2] = "CREATE TABLE third (c)"
    prepared(path)
    assert version_of(path) == 3
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert {"first", "second", "third", "frames"} <= names


def test_a_file_without_dictionaries_gets_room_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    with monkeypatch.context() as before:
        before.setattr(schema, "SCHEMA_VERSION", 1)
        prepared(path)
    connection = sqlite3.connect(path)
    rows = [(number, number, b"r" * 900) for number in range(200)]
    connection.executemany("INSERT INTO streams VALUES (NULL, 1, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    prepared(path)
    assert version_of(path) == 2
    connection = sqlite3.connect(path)
    assert schema.has_its_tables(connection)
    assert connection.execute("SELECT count(*) FROM dictionaries").fetchone() == (0,)
    connection.execute("ALTER TABLE dictionaries RENAME COLUMN content TO contents")
    assert not schema.has_its_tables(connection)
    connection.close()


def test_a_new_file_may_be_absent_or_empty(tmp_path: Path) -> None:
    schema.check_before_opening(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    schema.check_before_opening(tmp_path / "empty.db")
