"""What every transport and its links keep: the shipped one on a real broker, and a world's."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from servers.mosquitto import MosquittoServer
from servers.ports import free_port
from servers.waiting import eventually
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import Delivery, Link, LinkFailure, Transport, TransportError
from whimbrel_agent.uplink.mqtt import MAX_WAITING_DELIVERIES, MqttTransport
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import down_filter, down_topic, frame_topic, up_filters
from whimbrel_sim.worlds.clocks import AgentClock
from whimbrel_sim.worlds.device import Device, WorldTransport
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.machine import Process
from whimbrel_sim.worlds.network import Weather
from worlds.virtual import Client, make_broker, make_path, virtual_loop

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
FORMER = Address(tenant="acme", region="eu-1", store="store-9", device="till-1")
RECEIPTS = down_topic("acme", "store-1", "till-1", "receipt")
OTHERS = down_topic("acme", "store-1", "till-2", "receipt")
FRAMES = frame_topic(ADDRESS, "normal")
FILTERS = [down_filter(ADDRESS), down_filter(FORMER)]


class Ground(ABC):
    """A broker with a region at it, and ways to make trouble."""

    heard: list[tuple[str, bytes]]

    @abstractmethod
    async def begin(self) -> Transport:
        """Have the region listen; return a transport to the broker."""

    @abstractmethod
    async def end(self) -> None: ...

    @abstractmethod
    async def send(self, topic: str, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        """Publish from the region's side."""

    @abstractmethod
    async def break_links(self) -> None: ...

    @abstractmethod
    def nobody(self) -> Transport:
        """A transport to a host that answers nothing."""

    @abstractmethod
    def refusing(self) -> Transport:
        """A transport to a host that refuses."""

    @abstractmethod
    async def until(self, condition: Callable[[], bool]) -> None: ...


class RealGround(Ground):
    """Mosquitto, in real time."""

    def __init__(self, folder: Path) -> None:
        self.heard = []
        self._server = MosquittoServer(folder)
        self._mute = socket.create_server(("127.0.0.1", 0))
        self._stack: list[asyncio.Task[None]] = []
        self._region: aiomqtt.Client | None = None

    async def begin(self) -> Transport:
        self._server.start()
        self._region = aiomqtt.Client(self._server.host, self._server.port)
        await self._region.__aenter__()
        for one in up_filters():
            await self._region.subscribe(one, qos=1)
        self._stack.append(asyncio.create_task(self._listen(self._region)))
        return self._to(self._server.url)

    async def _listen(self, region: aiomqtt.Client) -> None:
        try:
            async for message in region.messages:
                topic = str(message.topic)
                if not topic.startswith("wb/1/birth/"):  # for people; the port says nothing of it
                    self.heard.append((topic, bytes(message.payload)))
        except aiomqtt.MqttError:
            return  # the broker was killed

    def _to(self, url: str) -> Transport:
        access = BrokerAccess(connect_timeout_s=2.0)
        return MqttTransport(
            [BrokerUrl.parse(url)], access, ADDRESS, random.Random(1), filters=FILTERS
        )

    async def end(self) -> None:
        self._mute.close()
        for task in self._stack:
            task.cancel()
        await asyncio.gather(*self._stack, return_exceptions=True)
        if self._region is not None:
            with contextlib.suppress(aiomqtt.MqttError):
                await self._region.__aexit__(None, None, None)
        self._server.kill()

    async def send(self, topic: str, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        async with aiomqtt.Client(self._server.host, self._server.port) as sender:
            for payload in payloads:
                await sender.publish(topic, payload, qos=1, retain=retain)

    async def break_links(self) -> None:
        self._server.kill()

    def nobody(self) -> Transport:
        return self._to(f"mqtt://127.0.0.1:{self._mute.getsockname()[1]}")

    def refusing(self) -> Transport:
        return self._to(f"mqtt://127.0.0.1:{free_port()}")

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(condition, timeout_s=30, what="what the contract says")


class WorldGround(Ground):
    """A world's broker, in virtual time, over a path as it is on a fair day."""

    def __init__(self, folder: Path) -> None:
        self.heard = []
        self._folder = folder

    async def begin(self) -> Transport:
        self._broker = make_broker()
        self._path = make_path(weather=Weather(delay_s=0.02, jitter_s=0.04))
        region = await Client(self._broker, "region").connect(*up_filters())
        self._sender = await Client(self._broker, "sender").connect()
        self._broker.taps.append(lambda *_: self.heard.__setitem__(slice(None), _heard(region)))
        self._region = region
        clock = AgentClock(virtual_loop(), Random(1))
        self._device = Device(
            ADDRESS, PrivateKey(bytes(32)), bytes(32), self._folder,
            region_key=PrivateKey(bytes(32)).public, ways=[(self._path, self._broker)],
            clock=clock, random=Random(1), timeline=self._broker._timeline,
        )  # fmt: skip
        return WorldTransport(self._device, Process(self._device, 1), FILTERS, ADDRESS.region)

    async def end(self) -> None:
        pass

    async def send(self, topic: str, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        for payload in payloads:
            self._sender.connection.publish(topic, payload, retain=retain)
        await asyncio.sleep(1)

    async def break_links(self) -> None:
        self._broker.restart()

    def nobody(self) -> Transport:
        self._path.add("fault", Weather(captive=True))
        return WorldTransport(self._device, Process(self._device, 2), FILTERS, ADDRESS.region)

    def refusing(self) -> Transport:
        self._broker.go_down()
        return WorldTransport(self._device, Process(self._device, 2), FILTERS, ADDRESS.region)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.heard[:] = _heard(self._region)
                await asyncio.sleep(0.01)


def _heard(region: Client) -> list[tuple[str, bytes]]:
    return [(one.topic, one.payload) for one in region.taken]


Facts = Callable[[Ground, Transport], Awaitable[None]]
Prove = Callable[[Facts], None]


@pytest.fixture(params=["mosquitto", "world"])
def prove(request: pytest.FixtureRequest, tmp_path: Path) -> Prove:
    """Run the facts over each ground, in a loop of its kind."""
    real = request.param == "mosquitto"

    async def run(facts: Facts) -> None:
        ground = RealGround(tmp_path / "real") if real else WorldGround(tmp_path / "world")
        try:
            await facts(ground, await ground.begin())
        finally:
            await ground.end()

    def in_its_loop(facts: Facts) -> None:
        with asyncio.Runner(loop_factory=None if real else VirtualTimeLoop) as runner:
            runner.run(run(facts))

    return in_its_loop


async def take(link: Link, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(30), aclosing(_generator(link)) as deliveries:
        async for delivery in deliveries:
            taken.append(delivery)
            if len(taken) == count:
                break
    return taken


async def _generator(link: Link) -> AsyncGenerator[Delivery, None]:
    async for delivery in link.deliveries():
        yield delivery


async def failure_of(work: Awaitable[object]) -> LinkFailure:
    with pytest.raises(TransportError) as caught:
        await work
    return caught.value.failure


def test_it_is_subscribed_when_connect_returns(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        await ground.send(RECEIPTS, [b"x"])
        assert await take(link, 1) == [Delivery(RECEIPTS, b"x", retained=False)]
        await link.close()

    prove(facts)


def test_it_hears_all_its_addresses_and_nobody_else_s(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        former = down_topic("acme", "store-9", "till-1", "want")
        link = await transport.connect(0)
        await ground.send(OTHERS, [b"another's"])
        await ground.send(former, [b"as I was"])
        await ground.send(RECEIPTS, [b"as I am"])
        assert [one.payload for one in await take(link, 2)] == [b"as I was", b"as I am"]
        await link.close()

    prove(facts)


def test_what_is_published_arrives_in_order_at_the_region(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        for number in range(300):
            await link.publish(FRAMES, b"%d" % number)
        await ground.until(lambda: len(ground.heard) == 300)
        assert ground.heard == [(FRAMES, b"%d" % number) for number in range(300)]
        await link.close()

    prove(facts)


def test_deliveries_come_in_order(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        payloads = [b"%d" % number for number in range(200)]
        await ground.send(RECEIPTS, payloads)
        assert [one.payload for one in await take(link, 200)] == payloads
        await link.close()

    prove(facts)


def test_a_retained_message_says_so_and_a_fresh_one_does_not(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        await ground.send(RECEIPTS, [b"old"], retain=True)
        link = await transport.connect(0)
        [old] = await take(link, 1)
        await ground.send(RECEIPTS, [b"new"], retain=True)
        [new] = await take(link, 1)
        assert [(one.payload, one.retained) for one in (old, new)] == [
            (b"old", True), (b"new", False),
        ]  # fmt: skip
        await link.close()

    prove(facts)


def test_an_empty_retained_message_is_not_kept(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        await ground.send(RECEIPTS, [b"old", b""], retain=True)
        link = await transport.connect(0)
        await ground.send(RECEIPTS, [b"fresh"])
        assert [one.payload for one in await take(link, 1)] == [b"fresh"]
        await link.close()

    prove(facts)


def test_a_broken_link_ends_its_deliveries_as_refused(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        await ground.break_links()
        assert await failure_of(take(link, 1)) is LinkFailure.REFUSED
        await link.close()

    prove(facts)


def test_what_came_before_the_break_is_still_delivered(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        await ground.send(RECEIPTS, [b"first", b"second", b"third"])
        assert [one.payload for one in await take(link, 1)] == [b"first"]
        await ground.break_links()
        assert [one.payload for one in await take(link, 2)] == [b"second", b"third"]
        await failure_of(take(link, 1))
        await link.close()

    prove(facts)


def test_a_broken_link_publishes_no_more(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        await ground.break_links()
        await failure_of(take(link, 1))
        assert await failure_of(link.publish(FRAMES, b"x")) is LinkFailure.REFUSED
        await link.close()

    prove(facts)


def test_a_reader_that_waits_is_told_of_the_break(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        reader = asyncio.create_task(take(link, 1))
        await asyncio.sleep(0)
        await ground.break_links()
        assert isinstance(await failure_of(reader), LinkFailure)
        await link.close()

    prove(facts)


def test_it_connects_anew_after_an_end(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        first = await transport.connect(0)
        await first.close()
        second = await transport.connect(0)
        await ground.send(RECEIPTS, [b"x"])
        assert [one.payload for one in await take(second, 1)] == [b"x"]
        await second.close()

    prove(facts)


def test_a_host_that_refuses_is_refused(prove: Prove) -> None:
    async def facts(ground: Ground, _transport: Transport) -> None:
        assert await failure_of(ground.refusing().connect(0)) is LinkFailure.REFUSED

    prove(facts)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client leaves that socket to gc
def test_a_host_that_says_nothing_is_no_link_within_the_time_out(prove: Prove) -> None:
    async def facts(ground: Ground, _transport: Transport) -> None:
        async with asyncio.timeout(30):
            assert await failure_of(ground.nobody().connect(0)) is LinkFailure.NO_LINK

    prove(facts)


def test_a_closed_link_neither_publishes_nor_delivers(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        await link.close()
        await failure_of(link.publish(FRAMES, b"x"))
        await failure_of(take(link, 1))
        await link.close()  # harmless when repeated

    prove(facts)


def test_more_than_512_unread_messages_are_dropped_and_counted(prove: Prove) -> None:
    async def facts(ground: Ground, transport: Transport) -> None:
        link = await transport.connect(0)
        payloads = [b"%d" % number for number in range(MAX_WAITING_DELIVERIES + 8)]
        await ground.send(RECEIPTS, payloads)
        await ground.until(lambda: link.dropped == 8)
        taken = await take(link, MAX_WAITING_DELIVERIES)
        assert [one.payload for one in taken] == payloads[:MAX_WAITING_DELIVERIES]
        assert MAX_WAITING_DELIVERIES == 512
        await ground.send(RECEIPTS, [b"room again"])
        assert [one.payload for one in await take(link, 1)] == [b"room again"]
        await link.close()

    prove(facts)
