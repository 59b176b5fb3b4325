from collections.abc import Sequence
from pathlib import Path

import pytest

from whimbrel_agent.intake.mapping import Column, RowMapping
from whimbrel_agent.intake.sources import SourceError
from whimbrel_protocol.event import Event
from whimbrel_sim.bench.corpora import CLIMATE_FILES, climate_events, find_data, till_events
from whimbrel_sim.workloads.files import (
    BadLine,
    climate_rows,
    csv_rows,
    invoice_rows,
    ndjson_rows,
)

CLIMATE = b""""Date","Temperature","Humidity","Light","CO2","HumidityRatio","Occupancy"
"1","2015-02-04 17:51:00",23.18,27.272,426,721.25,0.00479298817650529,1
"2","2015-02-04 17:51:59",warm,27.2675,429.5,714,0.00478344094931065,1
"3","2015-02-04 17:53:00",23.15
"4","2015-02-04 17:53:00",23.15,27.245,426,713.5,0.00477946352442199,0
"""
INVOICES = b"""InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536366,71053,LANTERN \xff,6,2010-12-01 08:28:00,3.39,,United Kingdom
536367,71053,LANTERN,6,2010-12-01 08:29:00,3.39,,United Kingdom
536368,71053,LANTERN,six,2010-12-01 08:29:00,3.39,,United Kingdom
"""
VISITS = b"""when,who,count
2026-11-22T09:30:00Z,door-1,3
2026-11-22T09:31:00Z,door-1,many
yesterday,door-1,2
2026-11-22T09:32:00Z,door-2,4,5
2026-11-22T09:33:00Z,door-2,6
"""
VISIT = RowMapping(
    type="visit",
    source_column="who",
    time_column="when",
    lane="normal",
    columns=(Column("count", "count", "int"),),
)
needs_data = pytest.mark.skipif(find_data(Path.cwd()) is None, reason="no data sets here")


def written(folder: Path, content: bytes) -> Path:
    path = folder / "rows"
    path.write_bytes(content)
    return path


def split(rows: Sequence[Event | BadLine]) -> tuple[list[Event], list[BadLine]]:
    return (
        [row for row in rows if isinstance(row, Event)],
        [row for row in rows if isinstance(row, BadLine)],
    )


def test_climate_rows_become_events_and_bad_ones_are_named(tmp_path: Path) -> None:
    events, bad = split(list(climate_rows([written(tmp_path, CLIMATE)])))
    assert [event.data["co2"] for event in events] == [721.25, 713.5]
    assert events[1].data["occupied"] is False
    assert [line.line for line in bad] == [3, 4]
    assert "warm" in bad[0].reason
    assert str(bad[1]) == "rows 4: has 3 cells: must have 7"


def test_invoice_lines_become_events_and_bad_ones_are_named(tmp_path: Path) -> None:
    events, bad = split(list(invoice_rows([written(tmp_path, INVOICES)])))
    assert [event.data["invoice"] for event in events] == ["536365", "536367"]
    assert [event.data["customer"] for event in events] == [17850, None]
    assert [line.line for line in bad] == [3, 5]


def test_a_file_of_another_form_is_all_bad(tmp_path: Path) -> None:
    events, bad = split(list(climate_rows([written(tmp_path, INVOICES)])))
    assert not events
    assert len(bad) == 4
    assert "has no column Temperature" in bad[0].reason


@needs_data
def test_the_data_sets_become_the_events_of_the_benchmarks() -> None:
    folder = find_data(Path.cwd())
    assert folder is not None
    climate = list(climate_rows([folder / name for name in CLIMATE_FILES]))
    assert climate == list(climate_events(folder))
    tills = list(invoice_rows(sorted(folder.glob("online-retail-*.csv"))))
    assert tills == list(till_events(folder))


def test_a_users_csv_is_read_by_a_mapping(tmp_path: Path) -> None:
    events, bad = split(list(csv_rows(written(tmp_path, VISITS), VISIT)))
    assert [(event.source, event.data) for event in events] == [
        ("door-1", {"count": 3}),
        ("door-2", {"count": 6}),
    ]
    assert events[0].extensions == {}
    assert [line.line for line in bad] == [2, 3, 4]


def test_a_users_ndjson_is_read_as_events(tmp_path: Path) -> None:
    content = b"""{"type":"x","source":"s","time":"2026-11-22T09:30:00Z","data":{"a":1}}
{"type":"x","source":"s","data":{"a":2}}
{"type":"x","source":
{"type":"","source":"s","time_ns":5}

{"type":"x","source":"s","time_ns":5,"lane":"high","extensions":{"k":1}}
"""
    events, bad = split(list(ndjson_rows(written(tmp_path, content))))
    assert [(event.lane, event.extensions) for event in events] == [
        ("normal", {}),
        ("high", {"k": 1}),
    ]
    assert [line.line for line in bad] == [2, 3, 4]
    assert "required for a replay" in bad[0].reason


def test_ndjson_objects_may_be_mapped_too(tmp_path: Path) -> None:
    content = b'{"when":"2026-11-22T09:30:00Z","who":"door-1","count":3}\n'
    events, bad = split(list(ndjson_rows(written(tmp_path, content), VISIT)))
    assert not bad
    assert events[0].type == "visit"


def test_without_a_time_there_is_nothing_to_replay(tmp_path: Path) -> None:
    timeless = RowMapping(type="visit")
    with pytest.raises(ValueError, match="time_column"):
        csv_rows(written(tmp_path, VISITS), timeless)
    with pytest.raises(ValueError, match="time_column"):
        ndjson_rows(written(tmp_path, VISITS), timeless)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        list(csv_rows(tmp_path / "none", VISIT))
    with pytest.raises(OSError, match="none"):
        list(climate_rows([tmp_path / "none"]))
