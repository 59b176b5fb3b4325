"""The broker inside this process."""

from __future__ import annotations

import aiomqtt
import amqtt.errors
import pytest

from whimbrel_sim.broker import EmbeddedBroker

PAYLOAD = b"x" * 120_000


async def echoed(port: int) -> bytes:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("wb/#", qos=1)
        await client.publish("wb/1", PAYLOAD, qos=1)
        message = await anext(aiter(client.messages))
        assert isinstance(message.payload, bytes)
        return message.payload


async def test_serves_on_the_port_it_says() -> None:
    async with EmbeddedBroker() as broker:
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert await echoed(broker.port) == PAYLOAD


async def test_comes_back_on_the_same_port() -> None:
    broker = EmbeddedBroker()
    port = broker.port
    for _ in range(3):
        await broker.start()
        assert await echoed(port) == PAYLOAD
        await broker.stop()
        with pytest.raises(aiomqtt.MqttError):
            await echoed(port)


async def test_stopping_disconnects_its_clients() -> None:
    async with EmbeddedBroker() as broker, aiomqtt.Client("127.0.0.1", broker.port) as client:
        await broker.stop()
        with pytest.raises(aiomqtt.MqttError):
            await anext(aiter(client.messages))
        assert not client._client.is_connected()


async def test_starting_twice_is_refused() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(RuntimeError, match="running already"):
            await broker.start()


async def test_a_taken_port_is_refused() -> None:
    async with EmbeddedBroker() as first:
        second = EmbeddedBroker(port=first.port)
        with pytest.raises(amqtt.errors.BrokerError):
            await second.start()
        await second.stop()
        assert await echoed(first.port) == PAYLOAD
