import sqlite3
from pathlib import Path

import pytest

from whimbrel_agent.intake.sources import (
    BadRow,
    CsvSource,
    NdjsonSource,
    Row,
    Source,
    SourceError,
    TableSource,
)


def write(tmp_path: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def values(source: Source) -> list[object]:
    return [row.values if isinstance(row, Row) else row.rule for row in source.rows(0, 0)]


def table(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "a b?.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def check_resumes(source: Source) -> None:
    """Reading on after any row gives exactly the rest."""
    whole = list(source.rows(0, 0))
    assert len(whole) > 2
    for index, row in enumerate(whole):
        assert list(source.rows(row.position, row.number)) == whole[index + 1 :]


def test_csv_cells_may_hold_quotes_commas_and_lines(tmp_path: Path) -> None:
    text = '\ufeffa,b\r\n1,"x, ""y"""\r\n2,"two\nlines"\r\n\r\n3,ü\r\n'
    source = CsvSource(write(tmp_path, text))
    assert values(source) == [
        {"a": "1", "b": 'x, "y"'},
        {"a": "2", "b": "two\nlines"},
        {"a": "3", "b": "ü"},
    ]
    check_resumes(source)


def test_a_csv_row_with_other_cells_than_the_header_is_bad(tmp_path: Path) -> None:
    source = CsvSource(write(tmp_path, "a,b\n1,2\n1\n1,2,3\n4,5\n"))
    rows = list(source.rows(0, 0))
    assert [type(row) for row in rows] == [Row, BadRow, BadRow, Row]
    assert [row.number for row in rows] == [1, 2, 3, 4]
    check_resumes(source)


def test_csv_in_another_encoding_and_with_another_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b\nü;1\n".encode("cp1252"))
    assert values(CsvSource(path, delimiter=";", encoding="cp1252")) == [{"a": "ü", "b": "1"}]
    assert [type(row) for row in CsvSource(path, delimiter=";").rows(0, 0)] == [BadRow]


@pytest.mark.parametrize("text", ["", "a,a\n", "a,,b\n"])
def test_a_csv_file_needs_a_header(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="header"):
        values(CsvSource(write(tmp_path, text)))


def test_ndjson_objects_are_rows_and_all_else_is_bad(tmp_path: Path) -> None:
    source = NdjsonSource(write(tmp_path, '{"a":1}\n\n[1]\n{bad\n{"a":2}'))
    rows = list(source.rows(0, 0))
    assert [row.number for row in rows] == [1, 3, 4, 5]
    assert [type(row) for row in rows] == [Row, BadRow, BadRow, Row]
    check_resumes(source)


def test_a_file_is_the_same_source_when_it_has_grown(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a":1}\n')
    before = NdjsonSource(path).fingerprint("m")
    with path.open("a") as stream:
        stream.write('{"a":2}\n')
    assert NdjsonSource(path).fingerprint("m") == before
    assert NdjsonSource(path).fingerprint("other mapping") != before
    assert CsvSource(path).fingerprint("m") != before


def test_rows_of_a_table_come_by_row_id_with_their_types(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        """CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, rowid TEXT, v);
        INSERT INTO "odd ""name" VALUES (-5, 'a', 1.5), (9, 'b', NULL), (7, 'c', x'ff');
        INSERT INTO "odd ""name" VALUES (8, 'd', CAST(x'ff41' AS TEXT));""",
    )
    source = TableSource(path, 'odd "name')
    assert values(source) == [
        {"id": -5, "rowid": "a", "v": 1.5},
        {"id": 7, "rowid": "c", "v": b"\xff"},
        {"id": 8, "rowid": "d", "v": b"\xffA"},
        {"id": 9, "rowid": "b", "v": None},
    ]
    assert source.total() == 9
    check_resumes(source)
    source.close()


def test_a_table_of_many_pages_is_read_whole(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        """CREATE TABLE t (n);
        WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < 1700)
        INSERT INTO t SELECT n FROM s;""",
    )
    source = TableSource(path, "t")
    assert values(source) == [{"n": n} for n in range(1, 1_701)]
    source.close()


def test_what_has_no_row_ids_is_refused(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        """CREATE TABLE t (n PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE u (n); CREATE VIEW v AS SELECT * FROM u;""",
    )
    for name in ("t", "nothing"):
        with pytest.raises(SourceError):
            TableSource(path, name)
    with pytest.raises(SourceError, match="is no file"):
        TableSource(tmp_path / "missing.db", "t")
    with pytest.raises(SourceError):
        TableSource(write(tmp_path, "no database" * 100), "t")
