from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.flow.usage import Usage, UsageRow
from whimbrel_aggregator.flow.usagefile import (
    MONTHS_KEPT,
    UsageFile,
    read_usage,
    usage_path,
)

ROWS = [
    UsageRow("2026-11", (), Usage(1, 2, 3)),
    UsageRow("2026-11", ("acme",), Usage(1, 2, 3)),
    UsageRow("2026-11", ("acme", "store-1"), Usage(1, 2, 3)),
    UsageRow("2026-11", ("acme", "store-1", "till-1"), Usage(1, 2, 3)),
]


def stored(path: Path, rows: list[UsageRow]) -> None:
    file = UsageFile(path)
    file.store(rows)
    file.close()


def test_it_lies_beside_the_journal() -> None:
    assert usage_path(Path("/data/journal.db")) == Path("/data/journal.db.usage")


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    stored(tmp_path / "usage", ROWS)
    assert (tmp_path / "usage").stat().st_mode & 0o077 == 0


def test_totals_survive_and_replace_each_other(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    stored(path, ROWS)
    later = UsageRow("2026-11", ("acme",), Usage(5, 6, 2**50))
    stored(path, [later])
    assert read_usage(path, "2026-11") == [ROWS[0], later, *ROWS[2:]]
    assert read_usage(path, "2026-10") == []
    assert read_usage(tmp_path / "none", "2026-11") == []


def test_old_months_go(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    months = [f"{2024 + number // 12}-{number % 12 + 1:02}" for number in range(MONTHS_KEPT + 5)]
    for month in months:
        stored(path, [UsageRow(month, ("acme",), Usage(1, 1, 1))])
    file = UsageFile(path)
    assert [row.month for row in file.rows()] == months[-MONTHS_KEPT:]
    file.close()


def test_a_damaged_row_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage"
    stored(path, ROWS)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE usage SET size_bytes = 4 WHERE name = 'acme'")
    connection.close()
    with caplog.at_level(logging.ERROR):
        assert read_usage(path, "2026-11") == [ROWS[0], *ROWS[2:]]
    assert "rows of usage counts are damaged" in caplog.text


@pytest.mark.parametrize("damage", [b"not a database at all, but text" * 200, b""])
def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "usage"
    stored(path, ROWS)
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:4096] + bytes(len(whole) - 4096))
    damaged = path.read_bytes()
    file = UsageFile(path)
    assert file.rows() == []
    file.store(ROWS)
    file.close()
    assert (tmp_path / "usage.damaged-1").read_bytes() == damaged
    assert len(read_usage(path, "2026-11")) == 4


def test_a_newer_programs_file_is_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    stored(path, ROWS)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SideFileError, match="schema version 99"):
        UsageFile(path)
    assert path.read_bytes() == before


def test_a_disk_that_says_no_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SideFileError, match="cannot be opened"):
        UsageFile(tmp_path / "no" / "such" / "folder")
