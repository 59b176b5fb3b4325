"""What becomes of the arguments of ``import``; the import itself is in the integration tests."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from whimbrel_agent.commands import bulk
from whimbrel_agent.commands.failures import UsageError
from whimbrel_agent.intake.mapping import Column
from whimbrel_agent.intake.sources import CsvSource, NdjsonSource, TableSource


def options(file: Path, **changes: Any) -> Namespace:
    given: dict[str, Any] = {
        "file": file,
        "format": None,
        "table": None,
        "delimiter": ",",
        "encoding": "utf-8",
        "id": None,
        "type": "t",
        "source": None,
        "zone": None,
        "lane": "bulk",
        "source_column": None,
        "subject_column": None,
        "zone_column": None,
        "time_column": None,
        "time_format": "rfc3339",
        "time_zone": None,
        "map": [],
        "infer": False,
    }
    return Namespace(**{**given, **changes})


def test_the_format_follows_from_the_files_name(tmp_path: Path) -> None:
    assert isinstance(bulk._source(options(tmp_path / "a.CSV")), CsvSource)
    assert isinstance(bulk._source(options(tmp_path / "a.jsonl")), NdjsonSource)
    assert isinstance(bulk._source(options(tmp_path / "a.txt", format="ndjson")), NdjsonSource)


def test_columns_are_mapped_by_name_and_kind() -> None:
    texts = ["sku=Stock Code", "n=Quantity:int", "odd=a:b"]
    mapping = bulk._mapping(options(Path("a.csv"), map=texts))
    assert mapping.columns == (
        Column("sku", "Stock Code"),
        Column("n", "Quantity", "int"),
        Column("odd", "a:b"),
    )


def test_the_id_stays_the_same_for_the_same_file_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "My sales (old).csv"
    path.write_text("a,b\n1,2\n")
    mapping = bulk._mapping(options(path))
    first = bulk._default_id(path, CsvSource(path), mapping)
    assert first == bulk._default_id(path, CsvSource(path), mapping)
    assert first.startswith("My-sales-old-")
    other = bulk._mapping(options(path, zone="front"))
    assert first != bulk._default_id(path, CsvSource(path), other)


@pytest.mark.parametrize(
    "changes",
    [
        {"file": Path("a.txt")},
        {"file": Path("a.csv"), "table": "t"},
        {"file": Path("a.db")},
        {"file": Path("a.csv"), "type": None},
        {"file": Path("a.csv"), "lane": "urgent"},
        {"file": Path("a.csv"), "time_format": "german"},
        {"file": Path("a.csv"), "time_zone": "Mars/Base"},
        {"file": Path("a.csv"), "encoding": "utf-16"},
        {"file": Path("a.csv"), "delimiter": ";;"},
        {"file": Path("a.csv"), "map": ["nothing"]},
    ],
)
def test_arguments_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    given = options(**changes)
    with pytest.raises(UsageError):
        bulk._mapping(given)
        bulk._source(given)


def test_a_table_needs_its_file(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="is no file"):
        TableSource(tmp_path / "a.db", "t")
