"""The whole aggregator in process, over a real broker: frame in, receipt out, orderly stop."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import aiomqtt
import pytest

from committed.journal import open_journal
from regions.frames import Device
from regions.ingesting import enrol
from servers.mosquitto import MosquittoServer
from whimbrel_aggregator import app
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.journal.port import JournalInUseError, PartitionKey
from whimbrel_aggregator.keyfile import read_key, write_key
from whimbrel_protocol.envelope import open_message
from whimbrel_protocol.messages import Receipt
from whimbrel_protocol.topics import down_filter, frame_topic

TILL = Device()


def settings(folder: Path, broker: MosquittoServer) -> Path:
    write_key(folder / "region.key", os.urandom(32))
    path = folder / "aggregator.toml"
    path.write_text(
        f"""
        [region]
        name = "eu-1"
        key = "region.key"
        [broker]
        urls = ["mqtt://{broker.host}:{broker.port}"]
        [journal]
        path = "journal.db"
        min_free_bytes = 0
        [api]
        listen = "127.0.0.1:0"
        [[forward]]
        name = "files"
        kind = "files"
        dir = "out"
        """
    )
    return path


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[str]:
    """Run the aggregator; yields the API's address."""
    stop = asyncio.Event()
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(
            app.serve(load_config(path), stop=stop, ready=lambda one: serving.set_result(one.api))
        )
        address = await serving
        await ready(address)
        yield address
        stop.set()


async def ready(address: str) -> None:
    async with aiohttp.ClientSession() as web:
        while True:
            async with web.get(f"{address}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.01)


async def test_a_frame_is_committed_receipted_forwarded_and_survives_a_restart(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    path = settings(tmp_path, mosquitto)
    public = read_key(tmp_path / "region.key").public
    journal = await open_journal(tmp_path / "journal.db")
    await enrol(journal, TILL)
    await journal.close()
    async with (
        aiomqtt.Client(mosquitto.host, mosquitto.port) as device,
        running(path) as address,
    ):
        await device.subscribe(down_filter(TILL.address), qos=1)
        await device.publish(frame_topic(TILL.address, "normal"), TILL.frame(1), qos=1)
        payload = (await anext(device.messages)).payload
        assert isinstance(payload, bytes)
        signed = open_message(payload)
        signed.signed.verify(public)
        assert isinstance(signed.message, Receipt)
        assert [entry.first for entry in signed.message.entries] == [1]
        async with aiohttp.ClientSession() as web, web.get(f"{address}/v1/status") as answer:
            status = json.loads(await answer.text())
        assert status["ingest"]["frames_committed"] == 1
        with pytest.raises(JournalInUseError):
            await open_journal(tmp_path / "journal.db")
    journal = await open_journal(tmp_path / "journal.db")
    assert len((await journal.read(PartitionKey("acme", "store-1"), 1)).frames) == 1
    await journal.close()
    assert not (tmp_path / "journal.db-wal").exists()


async def test_an_aggregator_without_a_broker_serves_and_says_that_it_is_not_ready(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    path = settings(tmp_path, mosquitto)
    async with running(path) as address:
        mosquitto.kill()
        async with aiohttp.ClientSession() as web:
            while True:
                async with web.get(f"{address}/readyz") as answer:
                    if answer.status == 503:
                        assert "no broker" in await answer.text()
                        break
                await asyncio.sleep(0.01)
            async with web.get(f"{address}/healthz") as answer:
                assert answer.status == 200
