"""The uplink over a real broker, with the real buffer on a real file."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.broker import BrokerProcess
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.uplink.mqtt import MqttTransport
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_agent.uplink.values import FramesSealed, LinkMade
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANES, Order
from whimbrel_protocol.names import Address
from worlds.region import BrokerRegion

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
DEVICE_KEY = PrivateKey(b"d" * 32)
REGION_KEY = PrivateKey(b"r" * 32)


def events(count: int, *, lane: str = "normal", start: int = 0) -> list[Event]:
    return [
        Event(type="t", source="s", time_ns=1_000 + n, data={"n": n}, lane=lane)
        for n in range(start, start + count)
    ]


@dataclass
class Device:
    """One device's buffer and uplink."""

    buffer: Buffer
    uplink: Uplink
    session: Session

    async def accept(self, count: int, **how: int | str) -> None:
        await self.buffer.accept(events(count, **how))  # type: ignore[arg-type]
        await self.buffer.seal_all()
        self.uplink.frames_sealed()

    async def drained(self) -> None:
        while True:
            stats = await self.buffer.stats()
            if all(lane.ledger.pending == 0 for lane in stats.lanes):
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def device_on(path: Path, *urls: str) -> AsyncIterator[Device]:
    clock, chance, runner = SystemClock(), random.Random(), ThreadRunner()
    buffer = await Buffer.open(
        BufferConfig(path=path), ADDRESS, DEVICE_KEY, clock=clock, random=chance, runner=runner
    )
    session = Session(
        addresses=[ADDRESS],
        region_key=REGION_KEY.public,
        brokers=len(urls),
        lanes=dict.fromkeys(LANES, Order.IN_ORDER),
        window=Window(max_bytes=2_000_000, max_frames=256),
        random=chance,
    )
    transport = MqttTransport(
        [BrokerUrl.parse(url) for url in urls], BrokerAccess(), ADDRESS, chance
    )
    uplink = Uplink(
        session=session,
        buffer=buffer,
        transport=transport,
        address=ADDRESS,
        key=DEVICE_KEY,
        clock=clock,
        software="test",
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(uplink.run())
        yield Device(buffer, uplink, session)
        task.cancel()
    await buffer.close()
    await runner.close()


@pytest.fixture
def region() -> BrokerRegion:
    return BrokerRegion(REGION_KEY, DEVICE_KEY.public)


def numbers(region: BrokerRegion) -> list[int]:
    return [event.data["n"] for event in region.events]


async def test_events_arrive_once_and_in_order_over_every_broker(
    any_broker: BrokerProcess, region: BrokerRegion, tmp_path: Path
) -> None:
    async with (
        region.attached(any_broker.host, any_broker.port),
        device_on(tmp_path / "buffer.db", any_broker.url) as device,
        asyncio.timeout(60),
    ):
        for start in range(0, 3_000, 100):
            await device.accept(100, start=start)
        await device.drained()
    assert numbers(region) == list(range(3_000))
    assert region.duplicates == 0


async def test_what_was_accepted_without_a_broker_leaves_when_there_is_one(
    mosquitto: MosquittoServer, region: BrokerRegion, tmp_path: Path
) -> None:
    mosquitto.stop()
    async with (
        device_on(tmp_path / "buffer.db", mosquitto.url) as device,
        asyncio.timeout(60),
    ):
        await device.accept(500)
        await eventually(
            lambda: device.session.counts["links_failed"] >= 1, timeout_s=20, what="a failed link"
        )
        mosquitto.start()
        async with region.attached(mosquitto.host, mosquitto.port):
            await device.drained()
    assert numbers(region) == list(range(500))


async def test_a_broker_restarted_in_mid_drain_costs_nothing_but_time(
    mosquitto: MosquittoServer, region: BrokerRegion, tmp_path: Path
) -> None:
    async with device_on(tmp_path / "buffer.db", mosquitto.url) as device, asyncio.timeout(90):
        for start in range(0, 20_000, 1_000):
            await device.accept(1_000, start=start)
        for goal in (1, 20):
            with pytest.raises(ExceptionGroup):
                async with region.attached(mosquitto.host, mosquitto.port):
                    await eventually(
                        lambda goal=goal: len(region.frames) >= goal,  # type: ignore[misc]
                        timeout_s=40,
                        what=f"{goal} frames",
                    )
                    mosquitto.restart()
                    await asyncio.Event().wait()
        async with region.attached(mosquitto.host, mosquitto.port):
            await device.drained()
    assert numbers(region) == list(range(20_000))


async def test_the_next_process_goes_on_where_the_last_one_stopped(
    mosquitto: MosquittoServer, region: BrokerRegion, tmp_path: Path
) -> None:
    path = tmp_path / "buffer.db"
    async with device_on(path, mosquitto.url) as device:
        await device.accept(300)
    async with (
        region.attached(mosquitto.host, mosquitto.port),
        device_on(path, mosquitto.url) as device,
        asyncio.timeout(60),
    ):
        await device.accept(300, start=300)
        await device.drained()
    assert numbers(region) == list(range(600))


async def test_the_second_broker_is_used_when_the_first_is_dead(
    mosquitto: MosquittoServer, region: BrokerRegion, tmp_path: Path, free_port: int
) -> None:
    dead = f"mqtt://127.0.0.1:{free_port}"
    async with (
        region.attached(mosquitto.host, mosquitto.port),
        device_on(tmp_path / "buffer.db", dead, mosquitto.url) as device,
        asyncio.timeout(60),
    ):
        await device.accept(10)
        await device.drained()
        assert device.uplink.figures().broker == 1


async def test_a_frame_damaged_on_disk_becomes_a_gap_and_the_rest_arrives(
    mosquitto: MosquittoServer, region: BrokerRegion, tmp_path: Path
) -> None:
    async with device_on(tmp_path / "buffer.db", mosquitto.url) as device, asyncio.timeout(60):
        await device.accept(10)
        await device.accept(10, start=10)
        await device.accept(10, start=20)
        second = (await device.buffer.pending("normal", 0, 10))[1]
        await device.buffer.quarantine(second.id, "for the test")
        async with region.attached(mosquitto.host, mosquitto.port):
            await device.drained()
    assert numbers(region) == [*range(10), *range(20, 30)]
    assert [frame.header.count for frame in region.frames] == [10, 0, 10]


async def test_frames_are_told_of_once_whatever_else_waits_to_be_looked_at(
    tmp_path: Path, free_port: int
) -> None:
    async with device_on(tmp_path / "buffer.db", f"mqtt://127.0.0.1:{free_port}") as device:
        uplink = device.uplink
        uplink._inputs.clear()
        uplink._put(LinkMade({"normal": 1}))
        uplink.frames_sealed()
        uplink.frames_sealed()
        uplink.frames_sealed(urgent=True)
        uplink.frames_sealed()
        assert list(uplink._inputs)[1:] == [FramesSealed(), FramesSealed(urgent=True)]
        uplink._inputs.clear()
