"""Limits of real brokers that protocol/brokers.md names: each was seen, and stays watched."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Self

import aiomqtt
import pytest

from servers.amqtt import AmqttServer
from servers.broker import BrokerProcess
from servers.mosquitto import MosquittoServer
from servers.nats import NatsServer

ANSWER_TIMEOUT_S = 10.0
QUIET_S = 0.5  # after this long without a packet a broker on loopback has sent what it will
PUBACK_TIMEOUT_S = 3.0  # aiomqtt waits this long even when the connection is gone
PUBLISHED = 100
UP = "wb/1/live/acme/07/store-1/till-1/normal"


class UnresponsiveSubscriber:
    """Subscribes at QoS 1 and acknowledges only when told: a consumer that has fallen behind."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, broker: BrokerProcess) -> Self:
        client = cls(*await asyncio.open_connection(broker.host, broker.port))
        client._send(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x04slow")
        await client._packet()
        client._send(0x82, b"\x00\x01\x00\x04wb/#\x01")
        await client._packet()
        return client

    async def unacknowledged(self) -> list[bytes]:
        """The packet ids of what arrives until the broker falls silent."""
        packet_ids: list[bytes] = []
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    kind, body = await self._packet()
            except TimeoutError:
                return packet_ids
            if kind >> 4 == 3:
                topic_bytes = struct.unpack_from(">H", body)[0]
                packet_ids.append(body[2 + topic_bytes :][:2])

    def acknowledge(self, packet_ids: list[bytes]) -> None:
        for packet_id in packet_ids:
            self._send(0x40, packet_id)

    def close(self) -> None:
        self._writer.transport.abort()

    def _send(self, kind: int, body: bytes) -> None:
        self._writer.write(bytes([kind, len(body)]) + body)

    async def _packet(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0]
        size_bytes, shift = 0, 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            size_bytes |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, await self._reader.readexactly(size_bytes)


def client_of(
    broker: BrokerProcess, client_id: str | None = None, *, timeout_s: float = ANSWER_TIMEOUT_S
) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V311,
        timeout=timeout_s,
    )


async def arriving(broker: BrokerProcess) -> int:
    """How many of ``PUBLISHED`` messages, each PUBACKed, reach a subscriber that lags."""
    subscriber = await UnresponsiveSubscriber.connect(broker)
    try:
        async with client_of(broker) as sender:
            for number in range(PUBLISHED):
                await sender.publish(UP, b"%d" % number, qos=1)
        total = 0
        while packet_ids := await subscriber.unacknowledged():
            total += len(packet_ids)
            subscriber.acknowledge(packet_ids)
        return total
    finally:
        subscriber.close()


async def test_mosquitto_drops_what_it_acknowledged_past_its_queue_limit(tmp_path: Path) -> None:
    settings = {"max_queued_messages": 10, "max_inflight_messages": 20}
    with MosquittoServer(tmp_path, settings=settings) as broker:
        assert await arriving(broker) == 30


async def test_nats_keeps_what_it_acknowledged_for_a_lagging_subscriber(nats: NatsServer) -> None:
    assert await arriving(nats) == PUBLISHED


async def test_amqtt_queues_without_a_limit(amqtt_broker: AmqttServer) -> None:
    assert await arriving(amqtt_broker) == PUBLISHED


@pytest.mark.parametrize(
    ("settings", "size_bytes", "carried"),
    [
        ({}, 1_000_000, True),
        ({}, 1_048_576, False),
        ({"max_payload": 120_000}, 120_000, False),
        ({"max_payload": 131_072}, 120_000, True),
    ],
    ids=["default", "over default", "exact", "128 KiB"],
)
async def test_nats_counts_its_own_header_against_max_payload(
    tmp_path: Path, settings: dict[str, object], size_bytes: int, *, carried: bool
) -> None:
    with NatsServer(tmp_path, settings=settings) as broker:
        assert await delivered(broker, UP, b"x" * size_bytes) == carried


async def test_mosquitto_and_amqtt_carry_ten_times_the_wire_limit(
    mosquitto: MosquittoServer, amqtt_broker: AmqttServer
) -> None:
    for broker in (mosquitto, amqtt_broker):
        assert await delivered(broker, UP, b"x" * 1_200_000)


@pytest.mark.parametrize(
    ("blank", "refusing"), [(" ", {"nats"}), ("\t", {"nats", "mosquitto"})], ids=["space", "tab"]
)
async def test_a_blank_in_a_topic_closes_the_connection_at_some_brokers(
    any_broker: BrokerProcess, blank: str, refusing: set[str]
) -> None:
    topic = f"wb/1/live/acme/07/store{blank}1/till-1/normal"
    assert await delivered(any_broker, topic, b"x") == (any_broker.name not in refusing)


async def test_amqtt_leaves_the_first_client_of_a_name_connected(
    amqtt_broker: AmqttServer,
) -> None:
    async with client_of(amqtt_broker, "till-1") as first:
        async with client_of(amqtt_broker, "till-1") as second:
            await second.subscribe("wb/#", qos=1)
            await second.publish(UP, b"x", qos=1)
        # Still served: a broker that follows the standard would have closed this connection.
        await first.subscribe("wb/#", qos=1)
        await first.publish(UP, b"y", qos=1)


async def delivered(broker: BrokerProcess, topic: str, payload: bytes) -> bool:
    """Whether a message comes through; the alternative is that the sender loses its connection."""
    async with client_of(broker) as receiver:
        await receiver.subscribe("wb/1/live/#", qos=1)
        async with client_of(broker, timeout_s=PUBACK_TIMEOUT_S) as sender:
            try:
                await sender.publish(topic, payload, qos=1)
            except aiomqtt.MqttError:
                assert not sender._client.is_connected()
                return False
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            async for message in receiver.messages:
                return message.payload == payload
    return False
