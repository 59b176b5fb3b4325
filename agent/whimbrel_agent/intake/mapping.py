"""Rows of a file or a table to events: which column becomes what. Pure.

Without a mapping of columns every column becomes a member of ``data`` under its own name, as the
text (CSV) or the value (NDJSON, SQLite) that it is. Kinds turn texts into values and refuse what
is none: nothing is guessed unless ``infer`` is asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from whimbrel_agent.intake.jsontext import OddNumberError, decode_json
from whimbrel_agent.intake.lines import event_of as native_event
from whimbrel_agent.intake.timetext import time_ns_of_text
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import IMPORT_EXTENSION, ROW_EXTENSION

__all__ = ["KINDS", "TIME_FORMATS", "Column", "RowMapping"]

_UNIX: Final = {"unix": 10**9, "unix-ms": 10**6, "unix-us": 10**3, "unix-ns": 1}
TIME_FORMATS: Final = ("rfc3339", *_UNIX)
"""Beside these, any ``strptime`` pattern with a ``%``."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_FLOAT: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})\.\d{1,15}", re.ASCII)
_WORDS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  subtracted from times already brought to UTC


@dataclass(frozen=True, slots=True)
class Column:
    """One member of ``data``: its name there, the column it comes from, and the kind of value."""

    name: str
    column: str
    kind: str = "as-is"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMapping:
    """How rows become events.

    Attributes:
        type: of every event; None means that rows are whole events (NDJSON only).
        source: of every event.
        source_column, subject_column, zone_column, time_column: columns that give these fields;
            they stay out of ``data`` unless ``columns`` names them.
        zone, lane: of every event.
        time_format: one of ``TIME_FORMATS`` or a ``strptime`` pattern.
        time_zone: where times without an offset are meant, None for nowhere (they are refused).
        columns: members of ``data``; empty for all columns by their own names.
        infer: texts that are exactly a number as programs write it become that number.
    """

    type: str | None
    source: str | None = None
    source_column: str | None = None
    subject_column: str | None = None
    zone_column: str | None = None
    time_column: str | None = None
    zone: str | None = None
    lane: str = "bulk"
    time_format: str = "rfc3339"
    time_zone: str | None = None
    columns: tuple[Column, ...] = ()
    infer: bool = False

    @property
    def description(self) -> str:
        """A text that is the same exactly when the mapping is."""
        return repr(self)

    def event_of(self, row: Mapping[str, Any], import_id: str, number: int, now_ns: int) -> Event:
        """Give the event of one row, its place in the import in its extensions.

        Args:
            row: values by column.
            import_id: the import.
            number: place among the events of the import, from 0.
            now_ns: the time of an event that has none of its own.

        Raises:
            FieldError: a column is missing or its value is not what the mapping says.
        """
        place = {IMPORT_EXTENSION: import_id, ROW_EXTENSION: number}
        if self.type is None:
            event = native_event(row, now_ns)
            return Event(
                type=event.type,
                source=event.source,
                time_ns=event.time_ns,
                data=event.data,
                zone=event.zone,
                subject=event.subject,
                lane=event.lane if "lane" in row else self.lane,
                dedup_key=event.dedup_key,
                extensions={**_extensions(event), **place},
            )
        return Event(
            type=self.type,
            source=_text(row, self.source_column) or self.source or import_id,
            time_ns=self._time_ns(row, now_ns),
            data=self._data(row),
            zone=_text(row, self.zone_column) or self.zone,
            subject=_text(row, self.subject_column),
            lane=self.lane,
            extensions=place,
        )

    def _data(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if self.columns:
            return {
                column.name: _value(_cell(row, column.column), column) for column in self.columns
            }
        taken = {self.source_column, self.subject_column, self.zone_column, self.time_column}
        return {
            name: _inferred(value) if self.infer else value
            for name, value in row.items()
            if name not in taken
        }

    def _time_ns(self, row: Mapping[str, Any], now_ns: int) -> int:
        if self.time_column is None:
            return now_ns
        value = _cell(row, self.time_column)
        if self.time_format == "rfc3339":
            return time_ns_of_text(self.time_column, value)
        if self.time_format in _UNIX:
            return _unix_ns(self.time_column, value, _UNIX[self.time_format])
        return self._pattern_ns(self.time_column, value)

    def _pattern_ns(self, column: str, value: Any) -> int:
        try:
            moment = datetime.strptime(str(value), self.time_format)  # noqa: DTZ007  see below
        except ValueError as exc:
            raise FieldError(column, value, f"must be a time like {self.time_format}") from exc
        if moment.tzinfo is None:
            if self.time_zone is None:
                raise FieldError(
                    column, value, "has no offset: say with --time-zone where it is meant"
                )
            moment = moment.replace(tzinfo=ZoneInfo(self.time_zone))
        offset = moment.utcoffset()
        assert offset is not None
        span = moment.replace(tzinfo=None) - offset - _EPOCH
        return ((span.days * 86_400 + span.seconds) * 10**6 + span.microseconds) * 1_000


def _extensions(event: Event) -> dict[str, Any]:
    if type(event.extensions) is not dict:
        raise FieldError("extensions", event.extensions, "must be a map with text keys")
    return event.extensions


def _cell(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise FieldError(column, None, f"is no column (there are: {', '.join(map(str, row))})")
    return row[column]


def _text(row: Mapping[str, Any], column: str | None) -> str | None:
    if column is None:
        return None
    value = _cell(row, column)
    return None if value is None or value == "" else str(value)


def _unix_ns(column: str, value: Any, unit_ns: int) -> int:
    try:
        # a decimal: a float of seconds is good for microseconds only
        exact = Decimal(str(value)) * unit_ns
    except InvalidOperation as exc:
        raise FieldError(column, value, "must be a number of units since 1970 UTC") from exc
    if not exact.is_finite() or exact != exact.to_integral_value():
        raise FieldError(column, value, "must be a whole number of nanoseconds")
    return int(exact)


def _value(cell: Any, column: Column) -> Any:
    if cell is None or column.kind == "as-is":
        return cell
    if cell == "" and column.kind != "text":
        return None
    try:
        return KINDS[column.kind](cell)
    except (ValueError, KeyError, InvalidOperation, RecursionError, OddNumberError) as exc:
        raise FieldError(column.column, cell, f"must be of kind {column.kind}") from exc


def _float(cell: Any) -> float:
    value = float(cell)
    if math.isinf(value) and any(letter.isdigit() for letter in str(cell)):
        raise ValueError("no 64-bit float holds it")  # "inf" itself is what it says
    return value


def _boolean(cell: Any) -> bool:
    return _WORDS[str(cell).strip().lower()]


KINDS: Final[dict[str, Callable[[Any], Any]]] = {
    "as-is": lambda cell: cell,
    "text": str,
    "int": lambda cell: int(str(cell)),
    "float": _float,
    "decimal": lambda cell: Decimal(str(cell)),
    "bool": _boolean,
    "json": lambda cell: decode_json(str(cell)),
}
"""What a text becomes; an empty one becomes null in every kind but text."""


def _inferred(value: Any) -> Any:
    if type(value) is not str:
        return value
    if _INTEGER.fullmatch(value) is not None and value != "-0":
        return int(value)
    return float(value) if _FLOAT.fullmatch(value) is not None else value
