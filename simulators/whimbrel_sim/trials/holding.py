"""What a trial's sinks hold: the rows of a PostgreSQL, and the events that a webhook was sent."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any, Final, Self

import psycopg
from aiohttp import web
from psycopg import sql

from whimbrel_sim.journalfile import ID_FIELD
from whimbrel_sim.ledger import Place
from whimbrel_sim.reconcile import CommittedEvent, Contents

_MAX_BODY_BYTES: Final = 64 * 2**20


class PostgresRows:
    """The tables of a ``postgres`` forwarder, read past the proxy before it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def count(self, tenant: str) -> int:
        """Return how many rows a tenant has; 0 when there is no table yet."""
        query = sql.SQL("SELECT count(*) FROM {}").format(_table(tenant))
        try:
            with psycopg.connect(self._dsn) as connection:
                found = connection.execute(query).fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
        return int(found[0]) if found else 0

    def contents(self, tenant: str) -> Contents:
        """Return every row as an event of the ledger; order is that of epochs and sequences."""
        query = sql.SQL("SELECT data->>%s, device, epoch, lane, sequence, fork FROM {}").format(
            _table(tenant)
        )
        try:
            with psycopg.connect(self._dsn) as connection:
                rows = connection.execute(query, [ID_FIELD]).fetchall()
        except psycopg.errors.UndefinedTable:
            rows = []
        events = (
            CommittedEvent(
                event_id=event_id or "",
                device=device,
                place=Place(epoch, lane, sequence),
                position=(epoch, sequence),
                fork=fork,
            )
            for event_id, device, epoch, lane, sequence, fork in rows
        )
        return Contents(tuple(events), (), frames=0)


def _table(tenant: str) -> sql.Identifier:
    return sql.Identifier("public", f"events_{tenant}")


class WebhookInbox:
    """An HTTP receiver that notes when each event came first.

    Attributes:
        arrived_s: by the event's id in the ledger.
    """

    def __init__(self) -> None:
        self.arrived_s: dict[str, float] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where batches are posted."""
        return f"http://127.0.0.1:{self._port}/events"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_post("/events", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        now_s = perf_counter()
        batch: list[dict[str, Any]] = json.loads(await request.read())
        for event in batch:
            self.arrived_s.setdefault(event["data"][ID_FIELD], now_s)
        return web.Response(status=204)
