"""Rows of files as events: the public data sets in their own form, and a user's CSV or NDJSON.

The data sets' rows become events as their README says. A user's file is read as the agent's import
reads it, by the same mapping of columns. A line that is no event comes out as a ``BadLine``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.intake.mapping import RowMapping
from whimbrel_agent.intake.sources import BadRow, CsvSource, NdjsonSource, Source
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.importdigest import IMPORT_EXTENSION, ROW_EXTENSION

__all__ = ["BadLine", "climate_rows", "csv_rows", "invoice_rows", "ndjson_rows"]

_SECOND_NS: Final = 1_000_000_000
_OURS: Final = frozenset((IMPORT_EXTENSION, ROW_EXTENSION))


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no event.

    Attributes:
        file: its name.
        line: for data sets the line's number in the file, for others the row's; from 1.
        reason: what is wrong.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file} {self.line}: {self.reason}"


def climate_rows(paths: Sequence[Path]) -> Iterator[Event | BadLine]:
    """Read room climate, a row a minute: a head of names, rows with their number before them."""
    return _data_set(paths, _climate_event)


def invoice_rows(paths: Sequence[Path]) -> Iterator[Event | BadLine]:
    """Read invoice lines of a retailer."""
    return _data_set(paths, _invoice_event)


def csv_rows(path: Path, mapping: RowMapping, *, delimiter: str = ",") -> Iterator[Event | BadLine]:
    """Read a user's CSV file with a head.

    Raises:
        ValueError: the mapping has no type or no column of the time, without which there is
            nothing to replay.
        SourceError: the file cannot be read.
    """
    if mapping.type is None or mapping.time_column is None:
        raise ValueError("the mapping of a CSV file must have a type and a time_column")
    return _mapped(CsvSource(path, delimiter=delimiter), path, mapping)


def ndjson_rows(path: Path, mapping: RowMapping | None = None) -> Iterator[Event | BadLine]:
    """Read a user's NDJSON file: whole events as the agent's intakes take them, or mapped objects.

    Raises:
        ValueError: the mapping has a type but no column of the time.
        SourceError: the file cannot be read.
    """
    mapping = mapping or RowMapping(type=None, lane="normal")
    if mapping.type is not None and mapping.time_column is None:
        raise ValueError("a mapping with a type must have a time_column")
    return _mapped(NdjsonSource(path), path, mapping)


def _mapped(source: Source, path: Path, mapping: RowMapping) -> Iterator[Event | BadLine]:
    for row in source.rows(0, 0):
        if isinstance(row, BadRow):
            yield BadLine(path.name, row.number, f"{row.value!r} {row.rule}")
            continue
        try:
            if mapping.type is None and not {"time", "time_ns"} & set(row.values):
                raise FieldError("time", None, "is required for a replay")  # noqa: TRY301
            event = mapping.event_of(row.values, "replay", row.number, 0)
            kept = {key: value for key, value in event.extensions.items() if key not in _OURS}
            event = replace(event, extensions=kept)
            validate_event(event)
        except FieldError as exc:
            yield BadLine(path.name, row.number, str(exc))
        else:
            yield event


def _data_set(
    paths: Sequence[Path], event_of: Callable[[dict[str, str]], Event]
) -> Iterator[Event | BadLine]:
    for path in paths:
        # bytes that are no UTF-8 stay in the cell as what no event may hold
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            lines = csv.reader(stream, strict=True)
            names = next(lines, [])
            while True:
                try:
                    cells = next(lines, None)
                    if cells is None:
                        break
                    event = event_of(_row(names, cells))
                    validate_event(event)
                except (ValueError, csv.Error, FieldError) as exc:
                    yield BadLine(path.name, lines.line_num, str(exc))
                else:
                    yield event


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) not in {len(names), len(names) + 1}:
        raise ValueError(f"has {len(cells)} cells: must have {len(names)}")
    return dict(zip(names, cells[-len(names) :], strict=True))


def _climate_event(row: dict[str, str]) -> Event:
    data: dict[str, Any] = {
        "temperature": float(_cell(row, "Temperature")),
        "humidity": float(_cell(row, "Humidity")),
        "light": float(_cell(row, "Light")),
        "co2": float(_cell(row, "CO2")),
        "humidity_ratio": float(_cell(row, "HumidityRatio")),
        "occupied": _cell(row, "Occupancy") == "1",
    }
    return Event(type="climate", source="room-1", time_ns=_time_ns(_cell(row, "Date")), data=data)


def _invoice_event(row: dict[str, str]) -> Event:
    customer = _cell(row, "CustomerID")
    data: dict[str, Any] = {
        "invoice": _cell(row, "InvoiceNo"),
        "sku": _cell(row, "StockCode"),
        "description": _cell(row, "Description"),
        "country": _cell(row, "Country"),
        "quantity": int(_cell(row, "Quantity")),
        "price": float(_cell(row, "UnitPrice")),
        "customer": int(float(customer)) if customer else None,
    }
    time_ns = _time_ns(_cell(row, "InvoiceDate"))
    return Event(type="pos.line", source="till-1", time_ns=time_ns, data=data)


def _cell(row: dict[str, str], name: str) -> str:
    if name not in row:
        raise ValueError(f"has no column {name} (there are: {', '.join(row)})")
    return row[name]


def _time_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * _SECOND_NS
