"""A real HTTP receiver for webhooks, which misbehaves as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

Behaviour = Callable[[web.Request, list[dict[str, Any]]], "web.Response | None"]


class Receiver:
    """Takes CloudEvents batches on a loopback port.

    ``behave`` may answer instead of the receiver; None lets it accept. ``silent`` requests get
    no answer at all, ``broken`` ones a connection that breaks.
    """

    def __init__(self) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.behave: Behaviour = lambda _request, _events: None
        self.silent = 0
        self.broken = 0
        self.accept_then_break = 0
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def start(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/events", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.headers, body))
        if self.silent:
            self.silent -= 1
            await asyncio.Event().wait()
        if self.broken:
            self.broken -= 1
            return self._break(request)
        events = json.loads(body)
        answer = self.behave(request, events)
        if answer is not None:
            return answer
        self.accepted.extend(events)
        if self.accept_then_break:
            self.accept_then_break -= 1
            return self._break(request)
        return web.Response(status=204)

    def _break(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)
