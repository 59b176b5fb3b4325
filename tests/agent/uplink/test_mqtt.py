"""The MQTT transport against real brokers."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import aiomqtt
import pytest

from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.lastmoment import ANSWERS, Answer, ends_when_cancelled_with
from servers.mosquitto import MosquittoServer
from servers.ports import free_port
from servers.waiting import eventually
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import Delivery, Link, LinkFailure, TransportError
from whimbrel_agent.uplink import mqtt
from whimbrel_agent.uplink.brokerclient import BrokerClient
from whimbrel_agent.uplink.mqtt import MqttTransport
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import birth_topic, down_topic, frame_topic

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
RECEIPTS = down_topic("acme", "store-1", "till-1", "receipt")


def transport_to(url: str, **access: object) -> MqttTransport:
    settings = BrokerAccess(**{"connect_timeout_s": 5.0, **access})  # type: ignore[arg-type]
    return MqttTransport([BrokerUrl.parse(url)], settings, ADDRESS, random.Random(1))


async def take(link: Link, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(20), aclosing(as_generator(link)) as deliveries:
        async for delivery in deliveries:
            taken.append(delivery)
            if len(taken) == count:
                break
    return taken


async def as_generator(link: Link) -> AsyncGenerator[Delivery, None]:
    async for delivery in link.deliveries():
        yield delivery


async def failure_of_connecting(transport: MqttTransport) -> LinkFailure:
    with pytest.raises(TransportError) as caught:
        await transport.connect(0)
    return caught.value.failure


async def test_frames_go_up_pipelined_and_answers_come_down(any_broker: BrokerProcess) -> None:
    link = await transport_to(any_broker.url).connect(0)
    async with aiomqtt.Client(any_broker.host, any_broker.port) as region:
        await region.subscribe("wb/1/live/#", qos=1)
        for number in range(300):
            await link.publish(frame_topic(ADDRESS, "normal"), number.to_bytes(2, "big") * 4_000)
        payloads = []
        async with asyncio.timeout(30):
            async for message in region.messages:
                payloads.append(bytes(message.payload)[:2])
                if len(payloads) == 300:
                    break
        assert payloads == [number.to_bytes(2, "big") for number in range(300)]
        await region.publish(RECEIPTS, b"receipt", qos=1)
        assert await take(link, 1) == [Delivery(RECEIPTS, b"receipt", retained=False)]
    await link.close()


async def test_a_retained_message_says_so(mosquitto: MosquittoServer) -> None:
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as hostile:
        await hostile.publish(RECEIPTS, b"old", qos=1, retain=True)
    link = await transport_to(mosquitto.url).connect(0)
    assert (await take(link, 1))[0].retained
    await link.close()


async def test_births_and_wills_are_published(faithful_broker: BrokerProcess) -> None:
    async with aiomqtt.Client(faithful_broker.host, faithful_broker.port) as watcher:
        await watcher.subscribe(birth_topic(ADDRESS))
        transport = transport_to(faithful_broker.url)
        link = await transport.connect(0)
        messages = watcher.messages
        async with asyncio.timeout(20):
            assert b'"online"' in (await anext(messages)).payload
            link._client.abandon()  # type: ignore[attr-defined]
            assert b'"offline"' in (await anext(messages)).payload


async def test_a_killed_broker_ends_the_link(any_broker: BrokerProcess) -> None:
    link = await transport_to(any_broker.url).connect(0)
    any_broker.kill()
    with pytest.raises(TransportError) as caught:
        await take(link, 1)
    assert caught.value.failure is LinkFailure.REFUSED
    with pytest.raises(TransportError):
        await link.publish(frame_topic(ADDRESS, "normal"), b"x")
    await link.close()


async def test_a_closed_link_ends_its_deliveries(mosquitto: MosquittoServer) -> None:
    link = await transport_to(mosquitto.url).connect(0)
    await link.close()
    with pytest.raises(TransportError):
        await take(link, 1)


async def test_clones_do_not_throw_each_other_out(mosquitto: MosquittoServer) -> None:
    one = await transport_to(mosquitto.url).connect(0)
    other = MqttTransport(
        [BrokerUrl.parse(mosquitto.url)], BrokerAccess(), ADDRESS, random.Random(2)
    )
    two = await other.connect(0)
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as region:
        await region.publish(RECEIPTS, b"for both", qos=1)
    assert len(await take(one, 1)) == len(await take(two, 1)) == 1
    await one.close()
    await two.close()


async def test_too_many_incoming_messages_are_dropped_and_counted(
    mosquitto: MosquittoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_WAITING_DELIVERIES", 5)
    link = await transport_to(mosquitto.url).connect(0)
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as region:
        for _ in range(8):
            await region.publish(RECEIPTS, b"x", qos=1)
    await eventually(lambda: link.dropped == 3, timeout_s=20, what="three dropped messages")
    assert len(await take(link, 5)) == 5
    await link.close()


async def test_ipv6(tmp_path: Path) -> None:
    with MosquittoServer(tmp_path, host="::1") as server:
        link = await transport_to(f"mqtt://[::1]:{server.port}").connect(0)
        await link.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_websockets(tmp_path: Path, host: str) -> None:
    with MosquittoServer(tmp_path, host=host, settings={}) as server:
        port = free_port(host)
        server.settings["listener"] = f"{port} {host}\nprotocol websockets"
        server.restart()
        shown = f"[{host}]" if ":" in host else host
        link = await transport_to(f"ws://{shown}:{port}/mqtt").connect(0)
        async with aiomqtt.Client(host, server.port) as region:
            await region.publish(RECEIPTS, b"x" * 50_000, qos=1)
        assert (await take(link, 1))[0].payload == b"x" * 50_000
        await link.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # paho leaves a failed TLS socket to gc
async def test_tls_with_our_authority_and_none_without_it(
    tmp_path: Path, certificates: Certificates
) -> None:
    with MosquittoServer(tmp_path, certificates=certificates) as server:
        url = f"mqtts://localhost:{server.tls_port}"
        link = await transport_to(url, ca_file=certificates.ca_file).connect(0)
        await link.close()
        assert await failure_of_connecting(transport_to(url)) is LinkFailure.UNAUTHORISED
    gc.collect()


async def test_user_and_password(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    with MosquittoServer(tmp_path / "server", passwords={"till": "open sesame"}) as server:
        link = await transport_to(server.url, username="till", password_file=secret).connect(0)
        await link.close()
        assert await failure_of_connecting(transport_to(server.url)) is LinkFailure.UNAUTHORISED
        secret.chmod(0o644)
        open_to_all = transport_to(server.url, username="till", password_file=secret)
        assert await failure_of_connecting(open_to_all) is LinkFailure.UNAUTHORISED


async def test_a_port_where_nobody_listens_is_refused(free_port: int) -> None:
    transport = transport_to(f"mqtt://127.0.0.1:{free_port}")
    assert await failure_of_connecting(transport) is LinkFailure.REFUSED


async def test_a_name_that_does_not_resolve_is_no_link() -> None:
    transport = transport_to("mqtt://no-such-host.invalid:1883")
    assert await failure_of_connecting(transport) is LinkFailure.NO_LINK


async def test_a_host_that_says_nothing_is_no_link() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        transport = transport_to(f"mqtt://127.0.0.1:{port}", connect_timeout_s=1.0)
        assert await failure_of_connecting(transport) is LinkFailure.NO_LINK


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (2, LinkFailure.UNAUTHORISED),
        (3, LinkFailure.OVERLOADED),
        (4, LinkFailure.UNAUTHORISED),
        (5, LinkFailure.UNAUTHORISED),
    ],
)
async def test_each_refusal_has_its_class(code: int, failure: LinkFailure) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes([0x20, 2, 0, code]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await failure_of_connecting(transport_to(f"mqtt://127.0.0.1:{port}")) is failure


async def test_a_keep_alive_is_used_from_the_next_connection_on(
    mosquitto: MosquittoServer,
) -> None:
    transport = transport_to(mosquitto.url, keepalive_s=30)
    first = await transport.connect(0)
    transport.use_keepalive(600)
    second = await transport.connect(0)
    asked = [link._client._client.keepalive for link in (first, second)]  # type: ignore[attr-defined]
    assert asked == [30, 600]
    await first.close()
    await second.close()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_stop_at_the_moment_of_the_broker_s_answer_is_heeded(
    mosquitto: MosquittoServer, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = transport_to(mosquitto.url)
    assert await ends_when_cancelled_with(
        answer, transport.connect(0), monkeypatch, client_type=BrokerClient
    )
