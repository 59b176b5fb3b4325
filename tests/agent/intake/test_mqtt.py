"""The MQTT intake in this process, against a real Mosquitto."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import pytest

from servers.lastmoment import ANSWERS, Answer, ends_when_cancelled_with
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import LaneConfig, Overflow
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import MqttIntakeConfig, TopicRule
from whimbrel_agent.intake import mqtt
from whimbrel_agent.intake.mqtt import MAX_WAITING_MESSAGES, MqttIntake
from whimbrel_agent.uplink.brokerclient import BrokerClient
from whimbrel_agent.uplink.dialing import BrokerError
from whimbrel_protocol.event import Event
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")


def intake_from(
    broker: MosquittoServer, buffer: Buffer, topic_filter: str = "sensors/#"
) -> MqttIntake:
    config = MqttIntakeConfig(
        broker=BrokerUrl.parse(broker.url), topics=(TopicRule(filter=topic_filter),)
    )
    return MqttIntake(config, buffer, ADDRESS, clock=SystemClock(), random=random.Random(1))


@asynccontextmanager
async def taking(
    broker: MosquittoServer, buffer: Buffer, topic_filter: str = "sensors/#"
) -> AsyncIterator[MqttIntake]:
    intake = intake_from(broker, buffer, topic_filter)
    task = asyncio.get_running_loop().create_task(intake.run())
    try:
        await eventually(
            lambda: intake.counters["links_made"] > 0, timeout_s=20, what="a subscription"
        )
        yield intake
    finally:
        task.cancel()
        await asyncio.wait([task])


async def publish(broker: MosquittoServer, topic: str, *payloads: bytes, **more: Any) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for payload in payloads:
            await client.publish(topic, payload, qos=1, **more)


async def events_in(buffer: Buffer) -> list[Event]:
    return [item.event async for item in buffer.export()]


async def test_what_is_retained_is_the_past_and_not_taken(
    mosquitto: MosquittoServer, buffer: Buffer
) -> None:
    await publish(mosquitto, "sensors/a", b'{"old": 1}', retain=True)
    async with taking(mosquitto, buffer) as intake:
        await eventually(
            lambda: intake.counters["retained"] == 1, timeout_s=20, what="the retained message"
        )
        await publish(mosquitto, "sensors/a", b'{"new": 1}')
        await eventually(lambda: intake.counters["events"] == 1, timeout_s=20, what="the event")
    assert [event.data for event in await events_in(buffer)] == [{"new": 1}]


async def test_a_session_waits_at_the_broker_while_nobody_takes(
    mosquitto: MosquittoServer, buffer: Buffer
) -> None:
    async with taking(mosquitto, buffer):
        pass
    count = 900  # below Mosquitto's own bound of a session, above ours of a connection
    assert count > MAX_WAITING_MESSAGES
    await publish(mosquitto, "sensors/a", *(json.dumps({"n": n}).encode() for n in range(count)))
    async with taking(mosquitto, buffer) as intake:
        await eventually(
            lambda: intake.counters["events"] == count, timeout_s=60, what="every message"
        )
        assert intake.counters["links_failed"] == 0
    assert [event.data["n"] for event in await events_in(buffer)] == list(range(count))


class HangsOnce:
    """A buffer whose first accept is durable and then never answers."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self.durable = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)

    async def accept(self, *arguments: Any, **options: Any) -> Any:
        answer = await self._buffer.accept(*arguments, **options)
        if not self.durable.is_set():
            self.durable.set()
            await asyncio.get_running_loop().create_future()
        return answer


async def test_what_was_committed_when_a_connection_broke_is_recognised_on_the_next(
    mosquitto: MosquittoServer, buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with taking(mosquitto, buffer):
        pass
    await publish(mosquitto, "sensors/a", *(b'{"n": %d}' % n for n in range(5)))
    hanging = HangsOnce(buffer)
    granted = BrokerClient.subscribe

    async def breaks_once(self: BrokerClient, filters: Any) -> list[int]:
        if not hanging.durable.is_set():
            await hanging.durable.wait()
            raise BrokerError("the broker did not answer in time")
        return await granted(self, filters)

    monkeypatch.setattr(BrokerClient, "subscribe", breaks_once)
    async with taking(mosquitto, hanging) as intake:  # type: ignore[arg-type]
        await publish(mosquitto, "sensors/a", b'{"n": 5}')
        await eventually(
            lambda: intake.counters["repeated"] + intake.counters["events"] >= 6,
            timeout_s=20, what="every message again",
        )  # fmt: skip
    assert [event.data["n"] for event in await events_in(buffer)] == list(range(6))


async def test_an_older_subscription_of_the_session_is_not_taken(
    mosquitto: MosquittoServer, buffer: Buffer
) -> None:
    async with taking(mosquitto, buffer, "old/#"):
        pass
    async with taking(mosquitto, buffer, "new/#") as intake:
        await publish(mosquitto, "old/a", b"1")
        await publish(mosquitto, "new/a", b"2")
        await eventually(lambda: intake.counters["events"] == 1, timeout_s=20, what="an event")
        assert intake.counters["unwanted"] == 1


async def test_messages_wait_at_the_broker_while_the_buffer_is_full(
    mosquitto: MosquittoServer, open_buffer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # only the buffer's own word that it has room makes the intake go on
    monkeypatch.setattr(mqtt, "FULL_WAIT_S", 3600.0)
    buffer = await open_buffer(
        max_bytes=1024 * 1024, lanes={"normal": LaneConfig(overflow=Overflow.REFUSE)}
    )
    noise = random.Random(1)
    sent = 60
    async with taking(mosquitto, buffer) as intake:
        await publish(mosquitto, "sensors/a", *(noise.randbytes(40_000) for _ in range(sent)))
        await eventually(lambda: intake.counters["waits"] > 0, timeout_s=30, what="a full buffer")
        assert intake.counters["events"] < sent
        while intake.counters["events"] < sent:
            await buffer.discard()
            before = intake.counters["waits"]
            await eventually(
                lambda: intake.counters["events"] == sent or intake.counters["waits"] > before,  # noqa: B023
                timeout_s=60,
                what="room taken",
            )
    assert intake.counters["messages"] == sent


async def test_a_broker_that_is_away_is_looked_for(
    mosquitto: MosquittoServer, buffer: Buffer
) -> None:
    async with taking(mosquitto, buffer) as intake:
        await asyncio.to_thread(mosquitto.restart)
        await eventually(
            lambda: intake.counters["links_made"] == 2, timeout_s=30, what="a second connection"
        )
        assert intake.counters["links_failed"] >= 1
        await publish(mosquitto, "sensors/a", b"1")
        await eventually(lambda: intake.counters["events"] == 1, timeout_s=20, what="an event")


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_stop_at_the_moment_of_the_broker_s_answer_is_heeded(
    mosquitto: MosquittoServer, buffer: Buffer, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = intake_from(mosquitto, buffer)
    assert await ends_when_cancelled_with(
        answer, intake.run(), monkeypatch, client_type=BrokerClient
    )
