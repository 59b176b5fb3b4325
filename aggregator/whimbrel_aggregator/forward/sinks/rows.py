"""The tables of the Postgres sink: their statements, and events as rows.

One row is one committed event; its primary key is the event's identity, so a row cannot be there
twice whatever is delivered again. ``data`` and ``extensions`` are JSONB by the rules of
``jsonvalues``; two things JSONB itself changes: -0.0 becomes 0.0 and the order of keys is its
own. Text with U+0000, which Postgres does not take, is stored as ``{"$text": "<base64>"}``.
``time`` keeps microseconds; ``time_ns`` and ``received_ns`` are exact.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import sql

from whimbrel_aggregator.forward.jsonvalues import compact_json, to_json_value
from whimbrel_aggregator.reading import CommittedEvent

COLUMNS: Final = {
    "tenant": "text NOT NULL",
    "store": "text NOT NULL",
    "device": "text NOT NULL",
    "epoch": "bigint NOT NULL",
    "lane": "text NOT NULL",
    "sequence": "bigint NOT NULL",
    "region": "text NOT NULL",
    "id": "text NOT NULL",
    "source": "text NOT NULL",
    "type": "text NOT NULL",
    "subject": "text",
    "zone": "text",
    "time": "timestamptz NOT NULL",
    "time_ns": "bigint NOT NULL",
    "time_quality": "text NOT NULL",
    "received_ns": "bigint NOT NULL",
    "fork": "boolean NOT NULL",
    "data": "jsonb NOT NULL",
    "extensions": "jsonb NOT NULL",
}
IDENTITY: Final = ("tenant", "store", "device", "epoch", "lane", "sequence")

CURSOR_TABLE: Final = "whimbrel_cursors"

LOCK_KEY: Final = 0x57484D42
"""Advisory lock under which tables are made: CREATE IF NOT EXISTS alone can collide."""

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def create_events(table: sql.Composable) -> sql.Composed:
    """Return the statement that makes a table of events where there is none."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in COLUMNS.items()
    ]
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
        table,
        sql.SQL(", ").join(columns),
        sql.SQL(", ").join(map(sql.Identifier, IDENTITY)),
    )


def create_cursors(table: sql.Composable) -> sql.Composed:
    """Return the statement that makes the table of positions where there is none."""
    return sql.SQL(
        "CREATE TABLE IF NOT EXISTS {} (forwarder text, generation text, tenant text, store text,"
        " frame_offset bigint NOT NULL, place integer NOT NULL,"
        " PRIMARY KEY (forwarder, generation, tenant, store))"
    ).format(table)


def insert_events(table: sql.Composable) -> sql.Composed:
    """Return the statement that adds rows given as one array per column."""
    arrays = [
        sql.SQL("{}::{}[]").format(sql.Placeholder(), sql.SQL(_array_kind(kind)))
        for kind in COLUMNS.values()
    ]
    return sql.SQL(
        "INSERT INTO {} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO NOTHING"
    ).format(
        table,
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
        sql.SQL(", ").join(arrays),
        sql.SQL(", ").join(map(sql.Identifier, IDENTITY)),
    )


def move_cursor(table: sql.Composable) -> sql.Composed:
    """Return the statement that stores a position; it never goes back."""
    return sql.SQL(
        "INSERT INTO {table} AS c VALUES (%s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (forwarder, generation, tenant, store) DO UPDATE"
        " SET frame_offset = excluded.frame_offset, place = excluded.place"
        " WHERE (c.frame_offset, c.place) < (excluded.frame_offset, excluded.place)"
    ).format(table=table)


def read_cursor(table: sql.Composable) -> sql.Composed:
    """Return the query for a position."""
    return sql.SQL(
        "SELECT frame_offset, place FROM {} WHERE forwarder = %s AND generation = %s"
        " AND tenant = %s AND store = %s"
    ).format(table)


def arrays_of(events: Sequence[CommittedEvent]) -> list[list[Any]]:
    """Return the events as one list per column."""
    rows = map(row_of, events)
    return [list(column) for column in zip(*rows, strict=True)]


def row_of(committed: CommittedEvent) -> tuple[Any, ...]:
    """Return one event as a row, in the order of COLUMNS."""
    event, address = committed.event, committed.address
    return (
        address.tenant,
        address.store,
        address.device,
        committed.epoch,
        event.lane,
        committed.sequence,
        address.region,
        committed.id,
        event.source,
        event.type,
        event.subject,
        event.zone,
        _UNIX_EPOCH + timedelta(microseconds=event.time_ns // 1_000),
        event.time_ns,
        committed.clock.name.lower(),
        committed.received_ns,
        committed.fork,
        _jsonb(event.data),
        _jsonb(event.extensions),
    )


def _array_kind(column: str) -> str:
    return column.removesuffix(" NOT NULL")


def _jsonb(value: dict[str, Any]) -> str:
    text = compact_json(to_json_value(value))
    # a NUL is the only thing in JSON text that JSONB refuses; most data holds no backslash at all
    return compact_json(_without_nul(to_json_value(value))) if "\\u0000" in text else text


def _without_nul(value: Any) -> Any:
    if type(value) is str and "\0" in value:
        return {"$text": base64.b64encode(value.encode()).decode()}
    if type(value) is list:
        return [_without_nul(item) for item in value]
    if type(value) is dict:
        return {key: _without_nul(item) for key, item in value.items()}
    return value
