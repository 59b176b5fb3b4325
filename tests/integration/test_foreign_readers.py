"""What real processes put out is read by programs that are not ours: frames on the broker by a COSE
library, webhook requests by the ``cloudevents`` package, metrics by promtool."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import aiomqtt
import cbor2
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pycose.keys.curves import Ed25519
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from committed.receiver import Receiver
from documents import ROOT, blocks_of
from servers.missing import find_program
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_protocol.keys import PublicKey
from whimbrel_sim.producer import Load
from whimbrel_sim.world import World

EVENTS = 300
SECRET = "kept between us"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


def verified_by_pycose(data: bytes, key: PublicKey) -> bool:
    tagged = cbor2.loads(data)
    assert tagged.tag == Sign1Message.cbor_tag
    protected, unprotected, payload, signature = tagged.value  # pycose wants mutable kinds
    message = Sign1Message.from_cose_obj(
        [protected, dict(unprotected), payload, signature], allow_unknown_attributes=True
    )
    message.key = OKPKey(crv=Ed25519, x=key.raw)
    return bool(message.verify_signature())


@asynccontextmanager
async def captured(broker: MosquittoServer) -> AsyncIterator[list[bytes]]:
    """Collect what agents publish upwards, as the broker hands it to any client."""
    frames: list[bytes] = []

    async def collect(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            frames.append(message.payload)

    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe([("wb/1/live/#", 1), ("wb/1/replay/#", 1)])
        task = asyncio.get_running_loop().create_task(collect(client))
        yield frames
        task.cancel()
        await asyncio.wait([task])


async def test_frames_that_an_agent_published_are_verified_by_an_unrelated_cose_library(
    tmp_path: Path,
) -> None:
    broker = MosquittoServer(tmp_path / "broker")
    async with World(tmp_path, broker, seed=5) as world, captured(broker) as frames:
        await world.start_region()
        agent = await world.add_agent()
        await world.producer(agent, Load(sender="till", lane="high")).send(EVENTS)
        assert (await world.drain()).agrees
    key = PublicKey.from_text(agent.public_key)
    assert frames
    assert all(verified_by_pycose(frame, key) for frame in frames)
    place = len(frames[0]) // 2  # in the signed payload
    flipped = frames[0][:place] + bytes([frames[0][place] ^ 1]) + frames[0][place + 1 :]
    assert not verified_by_pycose(flipped, key)
    other = PublicKey.from_text(world.region.public_key)
    assert not verified_by_pycose(frames[0], other)


async def test_a_webhooks_requests_and_the_metrics_are_read_by_programs_that_are_not_ours(
    tmp_path: Path, receiver: Receiver
) -> None:
    secret_file = tmp_path / "webhook.secret"
    secret_file.write_text(SECRET + "\n")
    secret_file.chmod(0o600)
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=6) as world:
        with world.region.config_file.open("a") as config:
            config.write(
                f'[[forward]]\nname = "shop"\nkind = "webhook"\nurl = "{receiver.url}"\n'
                f'secret_file = "{secret_file}"\n'
            )
        await world.start_region()
        agent = await world.add_agent()
        await world.producer(agent, Load(sender="till", lane="high")).send(EVENTS)
        assert (await world.drain()).agrees
        await eventually(
            lambda: len(receiver.accepted) == EVENTS, timeout_s=60, what="every event outside"
        )
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{world.region.port}/metrics") as answer,
        ):
            metrics = await answer.read()
    assert_foreign_reading(receiver)
    assert b'whimbrel_forward_delivered_events_total{forwarder="shop"} 300.0' in metrics
    checked = await asyncio.to_thread(promtool, metrics)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def promtool(metrics: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [str(find_program("promtool")), "check", "metrics"]
    return subprocess.run(command, input=metrics, capture_output=True, check=False)


def assert_foreign_reading(receiver: Receiver) -> None:
    """Check each request as the page tells receivers to, and read it with the package."""
    [example] = [
        block
        for block in blocks_of(ROOT / "aggregator" / "README.md")
        if block.language == "python"
    ]
    names: dict[str, object] = {"time": time}
    exec(example.text, names)
    is_ours = names["is_ours"]
    assert callable(is_ours)
    ids = set()
    for headers, body in receiver.requests:
        assert is_ours(headers["Whimbrel-Signature"], body, SECRET)
        assert headers["Content-Type"].startswith("application/cloudevents-batch+json")
        for fields in json.loads(body):
            read = JSONFormat().read(CloudEvent, json.dumps(fields))
            assert read.get_data() == fields["data"]
            ids.add((read.get_source(), read.get_id()))
    assert len(ids) == EVENTS
