"""``/v1/events``: pages of committed events, and a stream of new ones (server-sent events)."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from whimbrel_aggregator.forward.cloudevents import to_json_line
from whimbrel_aggregator.ports import Runner
from whimbrel_aggregator.query import EventPage, EventQueries, EventQuery
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.timetext import MIN_TIME_NS
from whimbrel_aggregator.web.answers import RefusedError
from whimbrel_aggregator.web.parameters import event_query_of, flag_of, limit_of, query_of

PARAMETERS: Final = (
    "tenant",
    "store",
    "zone",
    "type",
    "since",
    "until",
    "limit",
    "cursor",
    "follow",
)

HEARTBEAT_S: Final = 15.0
"""Below the idle time-outs of common proxies (60 s) and load balancers (30 s)."""

MAX_FOLLOWERS: Final = 64
"""Streams at once; each holds a socket, and a few frames while it reads."""


class EventRoutes:
    """The handlers of ``/v1/events``."""

    def __init__(
        self, services: Services, runner: Runner, *, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._clock = services.clock
        self._queries = EventQueries(services.journal, services.reader, runner)
        self._heartbeat_s = heartbeat_s
        self._followers = 0

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer a page, or follow."""
        given = query_of(request, PARAMETERS)
        query = event_query_of(given, now_ns=self._clock.wall_ns())
        limit = limit_of(given)
        cursor = given.get("cursor")
        if flag_of(given, "follow"):
            if request.method == "HEAD":
                raise RefusedError(400, "follow", "true", "must not be asked for with HEAD")
            return await self._follow(request, query, request.headers.get("Last-Event-ID", cursor))
        page = await self._queries.page(query, cursor=cursor, limit=limit)
        return web.Response(
            body=_page_body(page),
            headers={"Cache-Control": "no-store"},
            content_type="application/json",
            charset="utf-8",
        )

    async def _follow(
        self, request: web.Request, query: EventQuery, cursor: str | None
    ) -> web.StreamResponse:
        if self._followers >= MAX_FOLLOWERS:
            raise RefusedError(
                503,
                "follow",
                f"{self._followers} streams",
                f"must be at most {MAX_FOLLOWERS} at once",
                headers={"Retry-After": "10"},
            )
        self._followers += 1
        try:
            return await self._stream(request, query, cursor)
        finally:
            self._followers -= 1

    async def _stream(
        self, request: web.Request, query: EventQuery, cursor: str | None
    ) -> web.StreamResponse:
        # before the answer begins: an error can still be a status, and what is committed once
        # the client sees the answer is surely part of it
        positions = await self._queries.place_to_follow(
            query, cursor=cursor, from_start=query.since_ns != MIN_TIME_NS
        )
        events = self._queries.follow(query, positions, idle_s=self._heartbeat_s)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold events back otherwise
            }
        )
        await response.prepare(request)
        await response.write(b": following\n\n")
        async for found in events:
            if found is None:
                await response.write(b": still here\n\n")
                continue
            event, resume = found
            head = f"id: {resume}\n" if resume is not None else ""
            await response.write(f"{head}data: {to_json_line(event)}\n\n".encode())
        return response


def _page_body(page: EventPage) -> bytes:
    lines = ",".join(page.lines)
    after = "null" if page.next is None else f'"{page.next}"'
    return f'{{"events":[{lines}],"next":{after},"unreadable":{page.unreadable}}}'.encode()
