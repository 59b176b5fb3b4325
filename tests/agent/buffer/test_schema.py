"""Schema versions: upgraded in one transaction, newer files refused unchanged."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buffers.harness import Shop, assert_sound, kept_numbers, sales
from whimbrel_agent.buffer.database import connect
from whimbrel_agent.buffer.schema import SCHEMA_VERSION, upgrade, version_of
from whimbrel_agent.buffer.values import BufferVersionError


def columns_of(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())


@pytest.mark.parametrize("old", range(1, SCHEMA_VERSION))
def test_every_old_version_upgrades_to_the_present_schema(tmp_path: Path, old: int) -> None:
    with (
        closing(connect(tmp_path / "old.db")) as aged,
        closing(connect(tmp_path / "new.db")) as fresh,
    ):
        upgrade(aged, "old.db", to=old)
        assert version_of(aged) == old
        upgrade(aged, "old.db")
        upgrade(fresh, "new.db")
        assert version_of(aged) == version_of(fresh) == SCHEMA_VERSION
        assert columns_of(aged) == columns_of(fresh)


async def test_file_of_an_older_version_opens_with_its_content(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
    with closing(sqlite3.connect(shop.path)) as connection:  # as version 1 would have left it
        connection.execute("DROP TABLE checkpoints")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("DELETE FROM facts WHERE name = 'schema'")
        connection.commit()
    async with shop.buffer() as buffer:
        assert await kept_numbers(buffer) == list(range(10))
        await buffer.accept([], checkpoint=("a", b"b"))
        await assert_sound(buffer)


def test_failed_upgrade_leaves_the_old_version(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "old.db")) as connection:
        upgrade(connection, "old.db", to=1)
        connection.execute("CREATE TABLE checkpoints (in_the_way)")
        with pytest.raises(sqlite3.OperationalError):
            upgrade(connection, "old.db")
        assert version_of(connection) == 1
        assert not connection.in_transaction


async def test_newer_file_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
    with closing(sqlite3.connect(shop.path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("DROP TABLE facts")  # a newer program may do as it likes
    before = hashlib.sha256(shop.path.read_bytes()).digest()
    with pytest.raises(BufferVersionError, match="install the newer program"):
        await shop.start()
    assert hashlib.sha256(shop.path.read_bytes()).digest() == before


async def test_flipped_version_number_is_damage_and_not_a_newer_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
    data = bytearray(shop.path.read_bytes())
    data[63] ^= 0x40  # the last byte of the user version
    shop.path.write_bytes(data)
    async with shop.buffer() as buffer:
        assert (await buffer.stats()).damage is not None
        assert await kept_numbers(buffer) == list(range(10))


def test_a_renamed_column_is_damage_not_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    with closing(connect(path)) as connection:
        upgrade(connection, "buffer.db")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    assert b"data BLOB" in data
    path.write_bytes(data.replace(b"data BLOB", b"dava BLOB"))
    with (
        closing(connect(path)) as connection,
        pytest.raises(sqlite3.DatabaseError),
    ):
        upgrade(connection, "buffer.db")
