"""From a post to the journal over each broker, without anybody being killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.fixtures import BROKERS
from whimbrel_sim.producer import Load
from whimbrel_sim.world import World


@pytest.mark.parametrize("name", list(BROKERS))
async def test_every_event_is_committed_once_and_in_order(tmp_path: Path, name: str) -> None:
    async with World(tmp_path, BROKERS[name](tmp_path / "broker"), seed=1) as world:
        await world.start_region()
        agents = [await world.add_agent(device=f"till-{number}") for number in (1, 2)]
        for agent in agents:
            for lane in ("normal", "critical"):
                load = Load(sender=f"{agent.address.device}-{lane}", lane=lane)
                await world.producer(agent, load).send(500)
        result = await world.drain()
        assert result.agrees, str(result)
        assert result.committed == 2000
