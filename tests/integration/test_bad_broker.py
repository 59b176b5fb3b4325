"""A broker that is trusted with nothing: it forgets, drops, doubles and reorders."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.producer import Load
from whimbrel_sim.proxy import Faults
from whimbrel_sim.world import World

FATES = tuple(
    f"{direction}.{fate}"
    for direction in ("up", "down")
    for fate in ("dropped", "duplicated", "reordered")
)
RESTARTS = 20
LOSSY = Faults(drop=0.15, duplicate=0.25, reorder=0.25, delay_s=0.002)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_twenty_restarts_of_a_forgetful_broker_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    broker = MosquittoServer(
        tmp_path / "broker", settings={"max_queued_messages": 10, "max_inflight_messages": 10}
    )
    async with World(tmp_path, broker, seed=2) as world:
        await world.start_region()
        agent = await world.add_agent()
        producers = [
            world.producer(agent, Load(sender="a", batch_events=50)),
            world.producer(agent, Load(sender="b", lane="critical", pause_s=0.05)),
        ]
        world.set_faults(LOSSY, LOSSY)
        async with world.load(producers):
            for _ in range(RESTARTS):
                await asyncio.sleep(world.random.uniform(0.2, 1.5))
                await asyncio.to_thread(broker.restart)
            # A slow machine may have connected seldom: it is no proof before each fault was seen.
            await eventually(
                lambda: all((world.near.counts + world.far.counts)[fate] > 0 for fate in FATES),
                timeout_s=90,
                what="every kind of fault in both directions",
            )
        world.set_faults()
        result = await world.drain()
        assert result.agrees, str(result)
