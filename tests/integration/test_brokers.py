"""What Whimbrel asks of an MQTT 3.1.1 broker, asked of each real one."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from servers.amqtt import AmqttServer
from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.mosquitto import MosquittoServer
from servers.nats import NatsServer

ANSWER_TIMEOUT_S = 20.0
MAX_PAYLOAD_BYTES = 120_000  # the wire's limit for a whole MQTT payload
UP = "wb/1/live/acme/07/store-1/till-1/normal"
LONGEST_TOPIC = "wb/1/replay/" + "/".join(["t" * 32, "07", "s" * 32, "d" * 32, "critical"])


@asynccontextmanager
async def connected(
    broker: BrokerProcess, client_id: str | None = None, **options: Any
) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        timeout=ANSWER_TIMEOUT_S,
        **options,
    ) as client:
        yield client


@asynccontextmanager
async def connected_until_lost(
    broker: BrokerProcess, client_id: str | None = None, **options: Any
) -> AsyncIterator[aiomqtt.Client]:
    """A connection that the broker must end: the test fails where the body gets through."""
    with pytest.raises(aiomqtt.MqttError):
        async with connected(broker, client_id, **options) as client:
            yield client


async def take(client: aiomqtt.Client, count: int) -> list[tuple[str, bytes]]:
    """The next ``count`` messages, as topic and payload."""
    taken: list[tuple[str, bytes]] = []
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            taken.append((str(message.topic), message.payload))
            if len(taken) == count:
                break
    return taken


async def publish_all(broker: BrokerProcess, messages: Iterable[tuple[str, bytes]]) -> None:
    async with connected(broker) as sender:
        for topic, payload in messages:
            await sender.publish(topic, payload, qos=1, timeout=ANSWER_TIMEOUT_S)


class TestEveryBroker:
    @pytest.mark.parametrize("subscribed_qos", [0, 1])
    async def test_delivers_in_order_what_a_wildcard_selects(
        self, any_broker: BrokerProcess, subscribed_qos: int
    ) -> None:
        sent = [(UP, b"%d" % number) for number in range(200)]
        async with connected(any_broker) as receiver:
            await receiver.subscribe("wb/1/live/+/07/#", qos=subscribed_qos)
            await publish_all(
                any_broker, [("wb/1/live/acme/08/store-1/till-1/normal", b"no"), *sent]
            )
            assert await take(receiver, len(sent)) == sent

    async def test_carries_the_largest_payload_whole(self, any_broker: BrokerProcess) -> None:
        payload = bytes(number % 251 for number in range(MAX_PAYLOAD_BYTES))
        async with connected(any_broker) as receiver:
            await receiver.subscribe("wb/1/live/#", qos=1)
            await publish_all(any_broker, [(UP, payload)])
            assert await take(receiver, 1) == [(UP, payload)]

    async def test_carries_the_longest_topic(self, any_broker: BrokerProcess) -> None:
        assert LONGEST_TOPIC.count("/") == 7
        async with connected(any_broker) as receiver:
            await receiver.subscribe("wb/1/replay/#", qos=1)
            await publish_all(any_broker, [(LONGEST_TOPIC, b"x")])
            assert await take(receiver, 1) == [(LONGEST_TOPIC, b"x")]

    async def test_serves_two_filters_of_one_client(self, any_broker: BrokerProcess) -> None:
        down = "wb/1/down/acme/store-1/till-1/receipt"
        async with connected(any_broker) as receiver:
            await receiver.subscribe([("wb/1/down/acme/store-1/till-1/#", 1), ("wb/1/live/#", 0)])
            await publish_all(
                any_broker, [(down, b"a"), ("wb/1/birth/acme/s/d", b"no"), (UP, b"b")]
            )
            assert sorted(await take(receiver, 2)) == [(down, b"a"), (UP, b"b")]

    async def test_delivers_to_every_client_that_subscribed(
        self, any_broker: BrokerProcess
    ) -> None:
        async with connected(any_broker) as first, connected(any_broker) as second:
            for receiver in (first, second):
                await receiver.subscribe("wb/1/live/#", qos=1)
            await publish_all(any_broker, [(UP, b"x")])
            assert await take(first, 1) == await take(second, 1) == [(UP, b"x")]

    async def test_a_clean_session_starts_with_nothing(self, any_broker: BrokerProcess) -> None:
        async with connected(any_broker, "till-1") as before:
            await before.subscribe("wb/1/live/#", qos=1)
        await publish_all(any_broker, [(UP, b"while away")])
        async with connected(any_broker, "till-1") as after:
            await after.subscribe("wb/1/live/#", qos=1)
            await publish_all(any_broker, [(UP, b"now")])
            assert await take(after, 1) == [(UP, b"now")]

    async def test_serves_again_after_being_killed(self, any_broker: BrokerProcess) -> None:
        for round_number in range(3):
            any_broker.restart()
            payload = b"round %d" % round_number
            async with connected(any_broker) as receiver:
                await receiver.subscribe("wb/1/live/#", qos=1)
                await publish_all(any_broker, [(UP, payload)])
                assert await take(receiver, 1) == [(UP, payload)]

    async def test_a_killed_broker_is_noticed_by_its_clients(
        self, any_broker: BrokerProcess
    ) -> None:
        async with connected_until_lost(any_broker) as receiver:
            await receiver.subscribe("wb/1/live/#", qos=1)
            any_broker.kill()
            await take(receiver, 1)

    async def test_publishes_the_will_of_a_client_that_vanished(
        self, any_broker: BrokerProcess
    ) -> None:
        will = aiomqtt.Will("wb/1/birth/acme/store-1/till-1", b"gone", qos=1)
        async with connected(any_broker) as watcher:
            await watcher.subscribe("wb/1/birth/#", qos=1)
            async with connected_until_lost(any_broker, "till-1", will=will) as vanishing:
                vanishing._client.socket().shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
                await take(vanishing, 1)
            assert await take(watcher, 1) == [(will.topic, b"gone")]

    async def test_overlapping_filters_deliver_once_or_once_each(
        self, any_broker: BrokerProcess
    ) -> None:
        copies = 1 if any_broker.name == "mosquitto" else 2
        async with connected(any_broker) as receiver:
            await receiver.subscribe([("wb/1/live/#", 1), ("wb/1/live/acme/#", 1)])
            await publish_all(any_broker, [(UP, b"x"), (UP, b"end")])
            arrived = await take(receiver, 2 * copies)
            # Order is promised inside a subscription only, so two of them may interleave.
            assert Counter(arrived) == {(UP, b"x"): copies, (UP, b"end"): copies}
            assert (arrived[0], arrived[-1]) == ((UP, b"x"), (UP, b"end"))


class TestFaithfulBrokers:
    async def test_a_second_client_of_the_same_name_takes_over(
        self, faithful_broker: BrokerProcess
    ) -> None:
        async with connected_until_lost(faithful_broker, "till-1") as first:
            async with connected(faithful_broker, "till-1") as second:
                await second.subscribe("wb/1/live/#", qos=1)
                await publish_all(faithful_broker, [(UP, b"x")])
                assert await take(second, 1) == [(UP, b"x")]
            await take(first, 1)


class TestSecuredBrokers:
    async def test_mosquitto_serves_tls_and_passwords(
        self, tmp_path: Path, certificates: Certificates
    ) -> None:
        with MosquittoServer(
            tmp_path, certificates=certificates, passwords={"till": "wren"}
        ) as broker:
            broker.port, broker.tls_port = broker.tls_port, broker.port
            await self._check_door(broker, certificates)

    async def test_nats_serves_tls_and_passwords(
        self, tmp_path: Path, certificates: Certificates
    ) -> None:
        with NatsServer(tmp_path, certificates=certificates, passwords={"till": "wren"}) as broker:
            await self._check_door(broker, certificates)

    async def _check_door(self, broker: BrokerProcess, certificates: Certificates) -> None:
        trusted: dict[str, Any] = {"tls_context": certificates.client_context(), "username": "till"}
        async with connected(broker, password="wren", **trusted) as client:
            await client.subscribe("wb/1/live/#", qos=1)
            await client.publish(UP, b"x", qos=1)
            assert await take(client, 1) == [(UP, b"x")]
        with pytest.raises(aiomqtt.MqttError):
            async with connected(broker, password="wrong", **trusted):
                pass

    async def test_mosquitto_serves_ipv6(self, tmp_path: Path) -> None:
        with MosquittoServer(tmp_path, host="::1") as broker:
            assert broker.url.startswith("mqtt://[::1]:")
            async with connected(broker) as client:
                await client.subscribe("wb/1/live/#", qos=1)
                await client.publish(UP, b"x", qos=1)
                assert await take(client, 1) == [(UP, b"x")]


class TestWebSockets:
    async def test_nats_serves_mqtt_over_websocket(self, nats: NatsServer) -> None:
        nats.port = nats.websocket_port
        await self._check_websocket(nats)

    async def test_amqtt_serves_mqtt_over_websocket(self, amqtt_broker: AmqttServer) -> None:
        amqtt_broker.port = amqtt_broker.websocket_port
        await self._check_websocket(amqtt_broker)

    async def _check_websocket(self, broker: BrokerProcess) -> None:
        async with connected(broker, transport="websockets", websocket_path="/mqtt") as client:
            await client.subscribe("wb/1/live/#", qos=1)
            await client.publish(UP, b"x", qos=1)
            assert await take(client, 1) == [(UP, b"x")]
