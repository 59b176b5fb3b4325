"""The Postgres sink: events and position in one transaction.

Guarantee: transactional. A table per tenant by default, made where it is absent; rows have the
event's identity as primary key. The position of every partition is in ``whimbrel_cursors``,
per journal generation. The server's word wins over the journal's cursor: a database restored
from an older backup is filled again from where it stands.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from whimbrel_aggregator.forward.port import (
    Batch,
    Guarantee,
    Outcome,
    Poison,
    SinkConfigError,
    SinkError,
)
from whimbrel_aggregator.forward.sinks import rows
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.ports import Runner
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_aggregator.secretfile import SecretFileError, read_secret

BATCH_EVENTS: Final = 1_000
"""Rows per transaction: past this a bigger one gains little and holds locks for longer."""

MAX_IDENTIFIER_BYTES: Final = 63
"""What Postgres keeps of a name; it would cut the rest off silently."""

LONGEST_TENANT: Final = "t" * 32
TRANSACTION_TIMEOUT_S: Final = 60.0
"""After this the server counts as gone; a transaction of 1,000 rows takes tens of milliseconds."""

_SESSION: Final[dict[str, Any]] = {
    "application_name": "whimbrel",
    "connect_timeout": "10",
    "tcp_user_timeout": "30000",  # milliseconds until unanswered bytes mean a dead peer
    # a cursor that moved must be as durable as the rows, whatever the server's default is
    "options": "-c synchronous_commit=on -c statement_timeout=60000",
}
_GONE: Final = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError)


class PostgresSink:
    """Writes through one connection, a batch at a time. Implements ``forward.port.Sink``."""

    guarantee = Guarantee.TRANSACTIONAL
    max_batch_events = BATCH_EVENTS

    def __init__(
        self, name: str, dsn_file: Path, *, schema: str, table: str, runner: Runner
    ) -> None:
        self._name = name
        self._dsn_file = dsn_file
        self._schema = schema
        self._table = table
        self._runner = runner
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._using = asyncio.Lock()
        self._generation = ""
        self._ready_tables: set[str] = set()
        self._cursors = sql.Identifier(schema, rows.CURSOR_TABLE)

    async def open(self, generation: bytes) -> None:
        """Connect and make the table of positions."""
        self._generation = generation.hex()
        try:
            longest = self._table.format(tenant=LONGEST_TENANT)
        except (KeyError, IndexError, ValueError) as error:
            raise SinkConfigError(
                f"table {self._table!r} may hold {{tenant}} and no other braces"
            ) from error
        for name in (self._schema, longest):
            if not 1 <= len(name.encode()) <= MAX_IDENTIFIER_BYTES:
                raise SinkConfigError(
                    f"name {name!r} has {len(name.encode())} bytes, Postgres keeps "
                    f"{MAX_IDENTIFIER_BYTES}: choose a shorter one"
                )
        async with self._using:
            try:
                await self._connected()
            except psycopg.Error as error:
                raise SinkError(_reason(error)) from error

    async def position(self, partition: PartitionKey) -> Position | None:
        """Return where the server says a partition stands."""
        async with self._using:
            try:
                async with asyncio.timeout(TRANSACTION_TIMEOUT_S):
                    connection = await self._connected()
                    found = await connection.execute(
                        rows.read_cursor(self._cursors), [*self._place(partition)]
                    )
                    row = await found.fetchone()
            except (psycopg.Error, TimeoutError, OSError) as error:
                await self._disconnect()
                raise SinkError(_reason(error)) from error
        return None if row is None else Position(row[0], row[1])

    async def deliver(self, batch: Batch) -> Outcome:
        """Insert the rows and move the position, or neither."""
        async with self._using:
            try:
                async with asyncio.timeout(TRANSACTION_TIMEOUT_S):
                    connection = await self._connected()
                    table = await self._table_of(connection, batch.partition.tenant)
                    poison = await self._write(connection, table, batch)
            except _GONE as error:
                await self._disconnect()
                return Outcome(settled=0, retry=_reason(error))
            except psycopg.Error as error:
                # rights, a table of another shape, a full disk: an operator can mend it meanwhile
                await self._disconnect()
                return Outcome(settled=0, retry=_reason(error))
            except asyncio.CancelledError:
                await self._disconnect()
                raise
        return Outcome(settled=len(batch.events), poison=poison)

    async def idle(self) -> None:
        """Do nothing: a dead connection is found at the next delivery."""

    async def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        await self._disconnect()

    async def _write(
        self, connection: psycopg.AsyncConnection[Any], table: sql.Identifier, batch: Batch
    ) -> tuple[Poison, ...]:
        insert = rows.insert_events(table)
        move = rows.move_cursor(self._cursors)
        place = [*self._place(batch.partition), batch.next.offset, batch.next.place]
        try:
            arrays = await self._runner.run(partial(rows.arrays_of, batch.events))
            async with connection.transaction():
                await connection.execute(insert, arrays)
                await connection.execute(move, place)
        except (psycopg.DataError, psycopg.IntegrityError):
            # one row at least is not to the server's taste: find out which, row by row
            async with connection.transaction():
                poison = [
                    Poison(event, answer)
                    for event in batch.events
                    if (answer := await _insert_one(connection, insert, event)) is not None
                ]
                if poison:  # what is not parked yet must come again after a crash
                    first = poison[0].event.position
                    place[-2:] = [first.offset, first.place]
                await connection.execute(move, place)
            return tuple(poison)
        return ()

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            try:
                dsn = read_secret(self._dsn_file)
                psycopg.conninfo.conninfo_to_dict(dsn)
            except (SecretFileError, psycopg.ProgrammingError) as error:
                raise SinkConfigError(f"dsn_file: {error}") from error
            self._ready_tables.clear()
            self._connection = await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, **_SESSION
            )
            await self._create(self._connection, rows.create_cursors(self._cursors))
        return self._connection

    async def _table_of(
        self, connection: psycopg.AsyncConnection[Any], tenant: str
    ) -> sql.Identifier:
        name = self._table.format(tenant=tenant)
        table = sql.Identifier(self._schema, name)
        if name not in self._ready_tables:
            await self._create(connection, rows.create_events(table))
            self._ready_tables.add(name)
        return table

    async def _create(
        self, connection: psycopg.AsyncConnection[Any], statement: sql.Composed
    ) -> None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [rows.LOCK_KEY])
            await connection.execute(statement)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _place(self, partition: PartitionKey) -> tuple[str, str, str, str]:
        return (self._name, self._generation, partition.tenant, partition.store)


async def _insert_one(
    connection: psycopg.AsyncConnection[Any], insert: sql.Composed, event: CommittedEvent
) -> str | None:
    """Insert one row under a savepoint; return the server's answer when it refuses the row."""
    try:
        async with connection.transaction():
            await connection.execute(insert, rows.arrays_of([event]))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        return _reason(error)
    return None


def _reason(error: BaseException) -> str:
    """Return one line about an error; libpq's own texts never hold the password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"postgres: {text}"
