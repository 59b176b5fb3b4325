"""The transport against real brokers."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from servers.broker import BrokerProcess
from servers.certificates import Certificates
from servers.lastmoment import ANSWERS, Answer, ends_when_cancelled_with
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import BrokerConfig, BrokerUrl
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.mqtt import MqttFeed

UP = "wb/1/live/acme/7/store-1/till-1/normal"
DOWN = "wb/1/down/acme/store-1/till-1/receipt"


class Inbox:
    """What the feed brought."""

    def __init__(self, config: BrokerConfig) -> None:
        self.taken: list[Delivery] = []
        self.counters = Counters()
        self.feed = MqttFeed(
            config,
            region="eu-1",
            offer=self.take,
            clock=SystemClock(),
            random=random.Random(),
            counters=self.counters,
        )

    def take(self, delivery: Delivery) -> bool:
        self.taken.append(delivery)
        return True


async def until(condition: Callable[[], object]) -> None:
    await eventually(lambda: bool(condition()), timeout_s=30, what="the link's state")


@asynccontextmanager
async def connected(config: BrokerConfig) -> AsyncIterator[Inbox]:
    inbox = Inbox(config)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(inbox.feed.run())
        try:
            await until(lambda: inbox.feed.connected)
            yield inbox
        finally:
            task.cancel()


def config_of(*brokers: BrokerProcess, **changes: object) -> BrokerConfig:
    urls = tuple(BrokerUrl("mqtt", broker.host, broker.port) for broker in brokers)
    return dataclasses.replace(BrokerConfig(urls=urls), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_come_in_and_answers_go_out_over_any_broker(
    any_broker: BrokerProcess, qos: int
) -> None:
    async with (
        connected(config_of(any_broker, qos=qos)) as inbox,
        aiomqtt.Client(any_broker.host, any_broker.port) as device,
    ):
        await device.subscribe("wb/1/down/acme/store-1/till-1/+", qos=1)
        for number in range(50):
            await device.publish(UP, b"%d" % number, qos=1)
        await until(lambda: len(inbox.taken) == 50)
        assert [one.payload for one in inbox.taken] == [b"%d" % n for n in range(50)]
        assert inbox.taken[0].topic == UP
        assert not inbox.taken[0].retained
        for number in range(20):
            assert inbox.feed.publish(DOWN, b"%d" % number)
        async with asyncio.timeout(30):
            answers = [(await anext(device.messages)).payload for _ in range(20)]
        assert answers == [b"%d" % number for number in range(20)]


async def test_retained_messages_are_marked(mosquitto: MosquittoServer) -> None:
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as device:
        await device.publish(UP, b"old", qos=1, retain=True)
    async with connected(config_of(mosquitto)) as inbox:
        await until(lambda: inbox.taken)
        assert inbox.taken[0].retained


async def test_only_the_configured_partitions_are_heard(mosquitto: MosquittoServer) -> None:
    config = config_of(mosquitto, partitions=frozenset({7}))
    async with (
        connected(config) as inbox,
        aiomqtt.Client(mosquitto.host, mosquitto.port) as device,
    ):
        await device.publish(UP.replace("/7/", "/8/"), b"no", qos=1)
        await device.publish(UP, b"yes", qos=1)
        await until(lambda: inbox.taken)
        assert [one.payload for one in inbox.taken] == [b"yes"]


async def test_the_feed_comes_back_after_its_broker_does(mosquitto: MosquittoServer) -> None:
    async with connected(config_of(mosquitto)) as inbox:
        mosquitto.kill()
        await until(lambda: not inbox.feed.connected)
        assert not inbox.feed.publish(DOWN, b"nobody is there")
        mosquitto.start()
        await until(lambda: inbox.feed.connected)
        assert inbox.counters["links_made"] == 2
        assert inbox.counters["links_lost"] >= 1


async def test_the_next_broker_is_tried_when_one_is_away(
    mosquitto: MosquittoServer, free_port: int
) -> None:
    config = config_of(mosquitto)
    config = dataclasses.replace(
        config, urls=(BrokerUrl("mqtt", "127.0.0.1", free_port), *config.urls)
    )
    async with connected(config) as inbox:
        assert inbox.feed.connected == str(config.urls[1])
        assert inbox.counters["links_lost"] == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # paho leaves a failed TLS socket to gc
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_and_passwords_let_in_whom_they_should(
    tmp_path: Path, certificates: Certificates
) -> None:
    passwords = tmp_path / "password"
    passwords.write_text("s3cret\n")
    passwords.chmod(0o600)
    with MosquittoServer(
        tmp_path / "mosquitto", certificates=certificates, passwords={"region": "s3cret"}
    ) as broker:
        config = BrokerConfig(
            urls=(BrokerUrl("mqtts", "localhost", broker.tls_port),),
            username="region",
            password_file=passwords,
            ca_file=certificates.ca_file,
        )
        async with connected(config) as inbox:
            assert inbox.feed.connected.startswith("mqtts://")
        wrong = Inbox(dataclasses.replace(config, ca_file=None))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(wrong.feed.run())
            await until(lambda: wrong.counters["links_lost"] >= 2)
            assert not wrong.feed.connected
            task.cancel()


async def test_a_password_file_that_others_may_read_keeps_us_off_the_broker(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    passwords = tmp_path / "password"
    passwords.write_text("s3cret\n")
    passwords.chmod(0o644)
    inbox = Inbox(config_of(mosquitto, username="region", password_file=passwords))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(inbox.feed.run())
        await until(lambda: inbox.counters["links_lost"] >= 1)
        assert not inbox.feed.connected
        task.cancel()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_stop_at_the_moment_of_the_broker_s_answer_is_heeded(
    mosquitto: MosquittoServer, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Inbox(config_of(mosquitto)).feed
    assert await ends_when_cancelled_with(answer, feed.run(), monkeypatch)
