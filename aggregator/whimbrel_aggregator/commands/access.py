"""The region's API for commands: of the running aggregator, else of one opened for the moment.

Without a running aggregator the journal is opened here, under its lock, and the same API is
served on a loopback port with a token that only this process knows. So each command has one
way of working, and what it prints is the same either way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from aiohttp import web

from whimbrel_aggregator.clock import SystemClock, system_random
from whimbrel_aggregator.commands.failures import RefusedByApiError, UnreachableError
from whimbrel_aggregator.config import AggregatorConfig
from whimbrel_aggregator.flow.limits import limits_of
from whimbrel_aggregator.flow.usage import UsageRow, month_of
from whimbrel_aggregator.flow.usagefile import read_usage, usage_path
from whimbrel_aggregator.forward.skipped import skipped_path
from whimbrel_aggregator.forward.thinning import SkippedKeeper
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader
from whimbrel_aggregator.secretfile import read_secret
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web.server import make_app

ANSWER_S: Final = 60.0
"""A page may look at a thousand frames."""

CONNECT_S: Final = 5.0
_EVERY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where we connect to


class Region:
    """The API, ready to be asked."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, running: bool) -> None:
        self._session = session
        self._url = url
        self.running = running

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the JSON answer to a request.

        Raises:
            RefusedByApiError: the answer is an error.
            UnreachableError: no answer came.
        """
        try:
            async with self._session.request(
                method, self._url + path, params=params, json=body
            ) as response:
                return await _answer_of(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnreachableError(f"aggregator at {self._url} does not answer: {error}") from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], last_id: str | None
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a stream of server-sent events.

        Raises:
            RefusedByApiError: the answer is an error.
            aiohttp.ClientError: no answer came.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        endless = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)
        async with self._session.get(
            self._url + path, params=params, headers=headers, timeout=endless
        ) as response:
            if response.status != 200:
                await _answer_of(response)
            yield response.content


@asynccontextmanager
async def region(config: AggregatorConfig) -> AsyncIterator[Region]:
    """Reach the region that a configuration describes.

    Raises:
        UnreachableError: something else listens where the aggregator should.
        JournalError: none runs, and the journal cannot be opened.
    """
    headers = {}
    if config.api.token_file is not None:
        headers["Authorization"] = f"Bearer {read_secret(config.api.token_file)}"
    host = _EVERY_HOST.get(config.api.host, config.api.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{config.api.port}"
    async with _session(headers) as session:
        if config.api.port and await _runs(session, url, config.region.name):
            yield Region(session, url, running=True)
            return
    async with _opened(config) as own:
        yield own


async def _runs(session: aiohttp.ClientSession, url: str, name: str) -> bool:
    try:
        async with session.get(f"{url}/v1/status") as response:
            status = await _answer_of(response)
    except aiohttp.ClientConnectorError:
        return False
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnreachableError(f"what listens at {url} does not answer: {error}") from error
    if not isinstance(status, dict) or status.get("region") != name:
        raise UnreachableError(
            f"what listens at {url} is not the aggregator of region {name!r}: check api.listen"
        )
    return True


@asynccontextmanager
async def _opened(config: AggregatorConfig) -> AsyncIterator[Region]:
    clock = SystemClock()
    journal = await SqliteJournal.open(
        config.journal,
        clock=clock,
        random=system_random(),
        writer=ThreadRunner("journal.write"),
        reader=ThreadRunner("journal.read"),
    )
    runner = ThreadRunner("decode")
    skipped = SkippedKeeper(skipped_path(config.journal.path), ThreadRunner("skipped"))
    services = Services(
        region=config.region.name,
        version=version("whimbrel"),
        journal=journal,
        reader=EventReader(journal, runner, clock),
        clock=clock,
        not_ready=lambda: "the aggregator does not run",
        usage=partial(_stored_usage, config, clock),
        limits=limits_of(config.limits),
        skipped=skipped,
    )
    token = secrets.token_urlsafe(32)
    server = web.AppRunner(make_app(services, runner, token=token), access_log=None)
    try:
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0).start()
        port = server.addresses[0][1]
        async with _session({"Authorization": f"Bearer {token}"}) as session:
            yield Region(session, f"http://127.0.0.1:{port}", running=False)
    finally:
        await server.cleanup()
        await skipped.close()
        await runner.close()
        await journal.close()


async def _stored_usage(
    config: AggregatorConfig, clock: SystemClock, month: str | None
) -> tuple[str, Sequence[UsageRow]]:
    month = month or month_of(clock.wall_ns())
    return month, read_usage(usage_path(config.journal.path), month)


def _session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S),
        read_bufsize=1024 * 1024,  # one event is one line
    )


async def _answer_of(response: aiohttp.ClientResponse) -> Any:
    try:
        value = await response.json()
    except (aiohttp.ContentTypeError, ValueError) as error:
        raise UnreachableError(
            f"{response.url.origin()} answered {response.status} without JSON: is it an aggregator?"
        ) from error
    if response.status == 401:
        raise UnreachableError("the running aggregator asks for the token of api.token_file")
    if response.status >= 400:
        told = value.get("error", {}) if isinstance(value, dict) else {}
        text = f"{told.get('field')} is {told.get('value')!r}: {told.get('rule')}"
        raise RefusedByApiError(response.status, text)
    return value


def ask_once(
    config: AggregatorConfig,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """Reach the region, ask one thing and return the answer."""

    async def ask() -> Any:
        async with region(config) as found:
            return await found.ask(method, path, params=params, body=body)

    return asyncio.run(ask())


def ask_pages(
    config: AggregatorConfig, path: str, key: str, after: str, params: Mapping[str, str]
) -> list[Any]:
    """Ask for every page of a list and return its items."""

    async def ask() -> list[Any]:
        items: list[Any] = []
        given = dict(params)
        async with region(config) as found:
            while True:
                page = await found.ask("GET", path, params=given)
                items += page[key]
                if page["next"] is None:
                    return items
                given[after] = str(page["next"])

    return asyncio.run(ask())
