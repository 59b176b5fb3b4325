from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import aiomqtt
import pytest

from servers.broker import BrokerProcess
from servers.ports import free_port
from servers.waiting import eventually
from whimbrel_sim.proxy import NO_FAULTS, Faults, Proxy

TIMEOUT_S = 20.0
COUNT = 200


@asynccontextmanager
async def proxied(
    broker: BrokerProcess, up: Faults = NO_FAULTS, down: Faults = NO_FAULTS
) -> AsyncIterator[Proxy]:
    proxy = Proxy(
        port=free_port(), broker_host=broker.host, broker_port=broker.port,
        random=Random(1), up=up, down=down,
    )  # fmt: skip
    async with proxy:
        yield proxy


def client(port: int, timeout_s: float = TIMEOUT_S) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V311, timeout=timeout_s
    )


async def send_one(port: int, timeout_s: float = TIMEOUT_S) -> None:
    """Publish a message that is acknowledged, or this fails."""
    async with client(port, timeout_s) as sender:
        await sender.publish("t/x", b"1", qos=1)


async def take_to_end(receiver: aiomqtt.Client) -> list[int]:
    numbers = []
    async with asyncio.timeout(TIMEOUT_S):
        async for message in receiver.messages:
            assert isinstance(message.payload, bytes)
            if message.topic.value == "t/end":
                break
            numbers.append(int(message.payload))
    return numbers


async def carried(
    broker: BrokerProcess, *, up: Faults = NO_FAULTS, down: Faults = NO_FAULTS
) -> tuple[Proxy, list[int]]:
    """What arrives when publisher and receiver are both behind a proxy."""
    async with proxied(broker, up=up) as near, proxied(broker, down=down) as far:
        async with client(far.port) as receiver:
            await receiver.subscribe("t/#", qos=1)
            async with client(near.port) as sender, asyncio.TaskGroup() as group:
                for number in range(COUNT):
                    group.create_task(sender.publish("t/x", b"%d" % number, qos=1))
            near.up = far.down = NO_FAULTS
            await eventually(lambda: all_went_on(near, far), timeout_s=TIMEOUT_S, what="held ones")
            await send_end(near.port)
            numbers = await take_to_end(receiver)
        near.counts.update(far.counts)
        return near, numbers


def all_went_on(*proxies: Proxy) -> bool:
    """Whether no publication is held back; those still on their way are the broker's matter."""
    return all(
        proxy.counts[f"{direction}.reordered"] == proxy.counts[f"{direction}.let_go"]
        for proxy in proxies
        for direction in ("up", "down")
    )


async def send_end(port: int) -> None:
    async with client(port) as sender:
        await sender.publish("t/end", b"end", qos=1)


async def test_without_faults_everything_passes_in_order(mosquitto: BrokerProcess) -> None:
    _, numbers = await carried(mosquitto)
    assert numbers == list(range(COUNT))


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_what_is_dropped_is_acknowledged_and_gone(
    mosquitto: BrokerProcess, direction: str
) -> None:
    faults = Faults(drop=0.3)
    proxy, numbers = await (
        carried(mosquitto, up=faults) if direction == "up" else carried(mosquitto, down=faults)
    )
    dropped = proxy.counts[f"{direction}.dropped"]
    assert dropped > 0
    assert len(numbers) == COUNT - dropped
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_duplicates_arrive_twice(mosquitto: BrokerProcess, direction: str) -> None:
    faults = Faults(duplicate=0.3)
    proxy, numbers = await (
        carried(mosquitto, up=faults) if direction == "up" else carried(mosquitto, down=faults)
    )
    doubled = proxy.counts[f"{direction}.duplicated"]
    assert doubled > 0
    assert len(numbers) == COUNT + doubled
    assert set(numbers) == set(range(COUNT))


async def test_reordered_publications_all_arrive(mosquitto: BrokerProcess) -> None:
    proxy, numbers = await carried(mosquitto, down=Faults(reorder=0.3))
    assert proxy.counts["down.reordered"] > 0
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(COUNT))


async def test_a_cut_link_is_refused_until_it_is_mended(mosquitto: BrokerProcess) -> None:
    async with proxied(mosquitto) as proxy:
        await send_one(proxy.port)
        await proxy.cut()
        with pytest.raises(aiomqtt.MqttError):
            await send_one(proxy.port, timeout_s=2)
        proxy.mend()
        await send_one(proxy.port)


async def test_a_cut_breaks_the_connections_that_stand(mosquitto: BrokerProcess) -> None:
    async with proxied(mosquitto) as proxy:
        with pytest.raises(aiomqtt.MqttError):
            async with client(proxy.port) as standing:
                await standing.subscribe("t/#")
                await proxy.cut()
                await take_to_end(standing)
