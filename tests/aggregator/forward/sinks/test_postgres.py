from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from committed.journal import START_NS, address, event
from servers.postgres import PostgresServer
from whimbrel_aggregator.forward.jsonvalues import from_json_value
from whimbrel_aggregator.forward.port import Batch, SinkConfigError
from whimbrel_aggregator.forward.sinks.postgres import PostgresSink
from whimbrel_aggregator.forward.sinks.rows import row_of
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.lanes import ClockQuality


def committed(number: int, tenant: str = "acme", **fields: Any) -> CommittedEvent:
    return CommittedEvent(
        event=event(number, **fields),
        id=f"id-{number}",
        address=address(tenant=tenant),
        epoch=2**62 + 1,
        sequence=number,
        position=Position(1, number),
        received_ns=START_NS,
        clock=ClockQuality.SYNCED,
        fork=False,
    )


def batch(*given: CommittedEvent) -> Batch:
    return Batch(partition=given[0].partition, generation=b"g" * 8, events=given, next=Position(2))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for the module: making a new one takes longer than any test here."""
    made = PostgresServer()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def postgres(server: PostgresServer) -> PostgresServer:
    """The server, with nothing of the tests before in it."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        made = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'"
        ).fetchall()
    assert made == []
    return server


@pytest.fixture
def dsn_file(postgres: PostgresServer, tmp_path: Path) -> Path:
    path = tmp_path / "dsn"
    path.write_text(postgres.dsn + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
async def sink(dsn_file: Path, runner: ThreadRunner) -> AsyncIterator[PostgresSink]:
    made = PostgresSink("dwh", dsn_file, schema="public", table="events_{tenant}", runner=runner)
    await made.open(b"g" * 8)
    yield made
    await made.close()


def rows_of(server: PostgresServer, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_each_tenant_has_its_own_table(postgres: PostgresServer, sink: PostgresSink) -> None:
    await sink.deliver(batch(committed(1)))
    await sink.deliver(batch(committed(1, tenant="we-are_2")))
    for table in ('"events_acme"', '"events_we-are_2"'):
        assert rows_of(postgres, f"SELECT count(*) FROM {table}") == [(1,)]


async def test_every_field_is_kept_and_time_to_the_nanosecond(
    postgres: PostgresServer, sink: PostgresSink
) -> None:
    data = {"a": [1, None, True], "d": Decimal("1.10"), "b": b"\x00", "big": 2**80, "t": "é'\"\\"}
    one = committed(
        3,
        data=data,
        zone="front",
        subject="A-17",
        extensions={"trace": "x"},
        time_ns=START_NS + 123_456_789,
    )
    await sink.deliver(batch(one))
    [row] = rows_of(
        postgres,
        "SELECT tenant, store, device, epoch, lane, sequence, id, source, type, subject, zone,"
        " time_ns, time_quality, data, extensions, time AT TIME ZONE 'UTC' FROM events_acme",
    )
    assert row[:3] == ("acme", "store-1", "till-1")
    assert row[3:7] == (2**62 + 1, "normal", 3, "id-3")
    assert row[7:13] == ("till-1", "pos.line", "A-17", "front", START_NS + 123_456_789, "synced")
    assert from_json_value(row[13]) == data
    assert row[14] == {"trace": "x"}
    assert row[15].isoformat() == "2026-11-22T10:00:00.123456"


async def test_text_with_nul_is_stored_in_another_form(
    postgres: PostgresServer, sink: PostgresSink
) -> None:
    outcome = await sink.deliver(batch(committed(1, data={"text": "a\0b", "other": "\\u0000"})))
    assert outcome.poison == ()
    [(data,)] = rows_of(postgres, "SELECT data FROM events_acme")
    assert data == {"text": {"$text": "YQBi"}, "other": "\\u0000"}


async def test_a_row_the_server_refuses_is_poison_and_the_others_are_stored(
    postgres: PostgresServer, sink: PostgresSink
) -> None:
    given = [committed(1), committed(2, subject="nul\0"), committed(3)]
    outcome = await sink.deliver(batch(*given))
    assert outcome.settled == 3
    assert [one.event.sequence for one in outcome.poison] == [2]
    assert "NUL" in outcome.poison[0].answer
    found = rows_of(postgres, "SELECT sequence FROM events_acme ORDER BY 1")
    assert found == [(1,), (3,)]
    # until the worker parked it, the position must not pass the refused event
    assert await sink.position(PartitionKey("acme", "store-1")) == Position(1, 2)


async def test_a_dropped_table_is_made_again(postgres: PostgresServer, sink: PostgresSink) -> None:
    await sink.deliver(batch(committed(1)))
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("DROP TABLE events_acme")
    outcome = await sink.deliver(batch(committed(2)))
    assert outcome.settled == 0
    assert "events_acme" in (outcome.retry or "")
    assert (await sink.deliver(batch(committed(2)))).settled == 1


async def test_the_position_never_goes_back(sink: PostgresSink) -> None:
    await sink.deliver(batch(committed(1)))
    earlier = Batch(
        partition=PartitionKey("acme", "store-1"),
        generation=b"g" * 8,
        events=(committed(1),),
        next=Position(1, 2),
    )
    await sink.deliver(earlier)
    assert await sink.position(PartitionKey("acme", "store-1")) == Position(2)


@pytest.mark.parametrize(
    ("schema", "table"),
    [("public", "x" * 40 + "{tenant}"), ("public", "{other}"), ("s" * 64, "t"), ("public", "{")],
)
async def test_names_that_postgres_would_cut_are_refused(
    tmp_path: Path, runner: ThreadRunner, schema: str, table: str
) -> None:
    sink = PostgresSink("dwh", tmp_path / "dsn", schema=schema, table=table, runner=runner)
    with pytest.raises(SinkConfigError):
        await sink.open(b"")


async def test_hostile_names_are_quoted(
    postgres: PostgresServer, dsn_file: Path, runner: ThreadRunner
) -> None:
    table = 'x"; DROP TABLE t; --'
    sink = PostgresSink("dwh", dsn_file, schema="public", table=table, runner=runner)
    await sink.open(b"g" * 8)
    assert (await sink.deliver(batch(committed(1)))).settled == 1
    await sink.close()
    names = rows_of(postgres, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert (table,) in names


async def test_a_dsn_file_that_others_can_read_is_refused(
    dsn_file: Path, runner: ThreadRunner
) -> None:
    await runner.run(lambda: dsn_file.chmod(0o644))
    sink = PostgresSink("dwh", dsn_file, schema="public", table="t", runner=runner)
    with pytest.raises(SinkConfigError, match="chmod 600"):
        await sink.open(b"")


def test_rows_are_json_that_the_value_rules_explain() -> None:
    assert json.loads(row_of(committed(1))[-2]) == {"number": 1, "price": 1.25}
