"""The real server over a real journal, on a loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import ApiConfig
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web.server import run_server

TOKEN = "t0ken-of-the-tests"
Serve = Callable[..., Awaitable[str]]


@pytest.fixture
def services(journal: SqliteJournal, reader: EventReader) -> Services:
    return Services(
        region="eu-1",
        version="0.1.0",
        journal=journal,
        reader=reader,
        clock=SystemClock(),
        ingest=lambda: {"frames_committed": 3, "frames_duplicate": 1},
    )


@pytest.fixture
async def serve(services: Services, runner: ThreadRunner) -> AsyncIterator[Serve]:
    """Start a server; returns its URL."""
    tasks: list[asyncio.Task[None]] = []

    async def start(token_file: Path | None = None) -> str:
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(
            run_server(
                ApiConfig(port=0, token_file=token_file),
                services,
                runner,
                on_ready=lambda host, port: listening.set_result(f"http://{host}:{port}"),
            )
        )
        tasks.append(task)
        task.add_done_callback(lambda _: listening.done() or listening.cancel())
        try:
            return await listening
        except asyncio.CancelledError:
            await task
            raise

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def url(serve: Serve) -> str:
    return await serve()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path
