"""No room on the agent's disk, then on the aggregator's: told, survived, recovered by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.missing import missing
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.disks import SmallDisk, SmallDiskError
from whimbrel_sim.producer import Load
from whimbrel_sim.world import World

MIB = 1024 * 1024
TIMEOUT_S = 60.0


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[SmallDisk]:
    try:
        with SmallDisk(path, size_bytes) as disk:
            yield disk
    except SmallDiskError as error:
        missing(str(error))


async def until(condition: Callable[[], bool], what: str) -> None:
    await eventually(condition, timeout_s=TIMEOUT_S, what=what)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_an_agent_without_room_says_no_and_recovers_when_receipts_free_some(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "agent-till-1" / "data", 4 * MIB) as disk:
        async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=9) as world:
            refuse = {"lanes.normal": {"overflow": "refuse", "linger_s": 0.1}}
            await world.start_region()
            agent = await world.add_agent(settings=refuse)
            await world.near.cut()
            load = Load(
                sender="a", padding_bytes=400, batch_events=50, pause_s=0.0, give_up_when_full=True
            )
            producer = world.producer(agent, load)
            async with world.load([producer]):
                await until(lambda: producer.counts["507"] > 20, "refusals")
                accepted = producer.counts["202"]
                disk.fill()  # and now somebody else takes the very last block
                world.near.mend()
                await until(lambda: len(world.region.contents().events) > 0, "commits")
                disk.clear()
                await until(lambda: producer.counts["202"] > accepted + 20, "posts accepted again")
            result = await world.drain()
            assert result.agrees, str(result)
            assert result.gapped == {}
            assert agent.program.starts == 1
            assert agent.program.running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_an_aggregator_without_room_receipts_nothing_and_recovers(tmp_path: Path) -> None:
    with small_disk(tmp_path / "region", 24 * MIB) as disk:
        settings = {"journal": {"min_free_bytes": MIB // 4, "path": "journal.db"}}
        broker = MosquittoServer(tmp_path / "broker")
        async with World(tmp_path, broker, seed=10, region_settings=settings) as world:
            await world.start_region()
            agent = await world.add_agent()
            load = Load(sender="a", padding_bytes=400, batch_events=50, pause_s=0.0)
            await world.producer(agent, load).send(200)
            result = await world.drain()
            assert result.agrees, str(result)

            disk.fill(leave_bytes=MIB // 2)
            await world.producer(agent, load).send(6000)
            result = await world.drain(timeout_s=5)
            assert result.missing  # there was no room for all of it
            disk.fill()
            await asyncio.to_thread(world.region.status)  # it still answers
            assert world.region.program.running

            disk.clear()
            result = await world.drain()
            assert result.agrees, str(result)
            assert result.gapped == {}
            assert world.region.program.starts == agent.program.starts == 1
