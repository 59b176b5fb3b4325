"""What every feed of a region keeps: the shipped one on a real broker, and a world's."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import BrokerConfig, BrokerUrl
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.mqtt import MqttFeed
from whimbrel_aggregator.ports import Feed
from whimbrel_protocol.keys import PrivateKey
from whimbrel_sim.worlds.clocks import RegionClock
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.machine import Process
from whimbrel_sim.worlds.region import RegionMachine, WorldFeed
from worlds.virtual import Client, make_broker, make_path, virtual_loop

UP = "wb/1/live/acme/7/store-1/till-1/normal"
DOWN = "wb/1/down/acme/store-1/till-1/receipt"
DOWNS = "wb/1/down/acme/store-1/till-1/+"


class Ground(ABC):
    """A broker with a device at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.offered: list[Delivery] = []
        self.counters = Counters()
        self.refuse = False

    def offer(self, delivery: Delivery) -> bool:
        self.offered.append(delivery)
        return not self.refuse

    @property
    def payloads(self) -> list[bytes]:
        return [one.payload for one in self.offered]

    @abstractmethod
    def begin(self) -> Feed: ...

    @abstractmethod
    def end(self) -> None: ...

    @abstractmethod
    async def send(self, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        """Publish as a device does."""

    @abstractmethod
    async def answers(self, count: int, act: Callable[[], None]) -> list[bytes]:
        """What a device hears when ``act`` was called."""

    @abstractmethod
    def take_away(self) -> None:
        """Stop the broker: it forgets everything."""

    @abstractmethod
    def bring_back(self) -> None: ...

    @abstractmethod
    async def until(self, condition: Callable[[], object]) -> None: ...


class RealGround(Ground):
    """Mosquitto, in real time."""

    def begin(self) -> Feed:
        self._server = MosquittoServer(self.folder)
        self._server.start()
        return MqttFeed(
            BrokerConfig(urls=(BrokerUrl("mqtt", self._server.host, self._server.port),)),
            region="eu-1",
            offer=self.offer,
            clock=SystemClock(),
            random=Random(),
            counters=self.counters,
        )

    def end(self) -> None:
        self._server.kill()

    def _device(self) -> aiomqtt.Client:
        return aiomqtt.Client(self._server.host, self._server.port)

    async def send(self, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        async with self._device() as device:
            for payload in payloads:
                await device.publish(UP, payload, qos=1, retain=retain)

    async def answers(self, count: int, act: Callable[[], None]) -> list[bytes]:
        async with self._device() as device, asyncio.timeout(30):
            await device.subscribe(DOWNS, qos=1)
            act()
            return [bytes((await anext(device.messages)).payload) for _ in range(count)]

    def take_away(self) -> None:
        self._server.kill()

    def bring_back(self) -> None:
        self._server.start()

    async def until(self, condition: Callable[[], object]) -> None:
        await eventually(lambda: bool(condition()), timeout_s=30, what="what the contract says")


class WorldGround(Ground):
    """A world's broker, in virtual time."""

    def begin(self) -> Feed:
        self._broker = make_broker()
        machine = RegionMachine(
            "eu-1", PrivateKey(bytes(32)), bytes(32), self.folder,
            way=(make_path(), self._broker), clock=RegionClock(virtual_loop(), Random(1)),
            random=Random(1), timeline=self._broker._timeline,
        )  # fmt: skip
        return WorldFeed(machine, Process(machine, 1), self.offer, self.counters)

    def end(self) -> None:
        pass

    async def send(self, payloads: Sequence[bytes], *, retain: bool = False) -> None:
        device = await Client(self._broker, "device").connect()
        for payload in payloads:
            device.connection.publish(UP, payload, retain=retain)
        await asyncio.sleep(1)

    async def answers(self, count: int, act: Callable[[], None]) -> list[bytes]:
        device = await Client(self._broker, "device").connect(DOWNS)
        act()
        await self.until(lambda: len(device.payloads) == count)
        return device.payloads

    def take_away(self) -> None:
        self._broker.go_down()

    def bring_back(self) -> None:
        self._broker.come_up()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110  a look costs nothing in virtual time
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(feed: Feed) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feed.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


Facts = Callable[[Ground, Feed], Awaitable[None]]
Prove = Callable[[Facts], None]


@pytest.fixture(params=["mosquitto", "world"])
def prove(request: pytest.FixtureRequest, tmp_path: Path) -> Prove:
    """Run the facts over each ground, in a loop of its kind."""
    real = request.param == "mosquitto"

    async def run(facts: Facts) -> None:
        ground = (RealGround if real else WorldGround)(tmp_path / "ground")
        try:
            await facts(ground, ground.begin())
        finally:
            ground.end()

    def in_its_loop(facts: Facts) -> None:
        with asyncio.Runner(loop_factory=None if real else VirtualTimeLoop) as runner:
            runner.run(run(facts))

    return in_its_loop


def test_it_is_not_connected_before_it_runs(prove: Prove) -> None:
    async def facts(_ground: Ground, feed: Feed) -> None:
        assert feed.connected == ""
        assert feed.publish(DOWN, b"x") is False

    prove(facts)


def test_it_names_the_broker_once_it_listens(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed):
            await ground.until(lambda: feed.connected)
            await ground.send([b"x"])
            await ground.until(lambda: ground.offered)
            assert ground.counters["links_made"] == 1

    prove(facts)


def test_it_offers_what_comes_in_order(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed):
            await ground.until(lambda: feed.connected)
            await ground.send([b"%d" % number for number in range(100)])
            await ground.until(lambda: len(ground.offered) == 100)
            assert ground.payloads == [b"%d" % number for number in range(100)]
            assert {(one.topic, one.retained) for one in ground.offered} == {(UP, False)}
            assert all(one.received_ns > 0 for one in ground.offered)

    prove(facts)


def test_what_was_not_taken_does_not_come_again(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        ground.refuse = True
        async with running(feed):
            await ground.until(lambda: feed.connected)
            await ground.send([b"1", b"2"])
            await ground.send([b"3"])
            await ground.until(lambda: len(ground.offered) >= 3)
            assert ground.payloads == [b"1", b"2", b"3"]

    prove(facts)


def test_what_a_broker_kept_says_so(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        await ground.send([b"old"], retain=True)
        async with running(feed):
            await ground.until(lambda: ground.offered)
            assert [(one.payload, one.retained) for one in ground.offered] == [(b"old", True)]

    prove(facts)


def test_answers_reach_the_device_in_order(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed):
            await ground.until(lambda: feed.connected)
            taken: list[bool] = []

            def answer() -> None:
                taken.extend(feed.publish(DOWN, b"%d" % number) for number in range(50))

            heard = await ground.answers(50, answer)
            assert heard == [b"%d" % number for number in range(50)]
            assert taken == [True] * 50

    prove(facts)


def test_without_a_link_answers_are_dropped(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed):
            await ground.until(lambda: feed.connected)
            ground.take_away()
            await ground.until(lambda: not feed.connected)
            assert feed.publish(DOWN, b"x") is False
            assert ground.counters["links_lost"] >= 1

    prove(facts)


def test_it_comes_back_by_itself_when_the_broker_does(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed):
            await ground.until(lambda: feed.connected)
            ground.take_away()
            await ground.until(lambda: not feed.connected)
            ground.bring_back()
            await ground.until(lambda: feed.connected)
            await ground.send([b"again"])
            await ground.until(lambda: ground.offered)
            assert ground.payloads == [b"again"]
            assert ground.counters["links_made"] == 2

    prove(facts)


def test_it_finds_a_broker_that_comes_later(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        ground.take_away()
        async with running(feed):
            await ground.until(lambda: ground.counters["links_lost"] >= 2)
            assert feed.connected == ""
            ground.bring_back()
            await ground.until(lambda: feed.connected)

    prove(facts)


def test_it_runs_until_it_is_cancelled(prove: Prove) -> None:
    async def facts(ground: Ground, feed: Feed) -> None:
        async with running(feed) as task:
            await ground.until(lambda: feed.connected)
            assert not task.done()
        assert task.cancelled()
        assert feed.publish(DOWN, b"x") is False

    prove(facts)
