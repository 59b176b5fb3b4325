"""A real agent that was moved to another region before it had sent everything."""

from __future__ import annotations

import asyncio
from pathlib import Path

from servers.mosquitto import MosquittoServer
from whimbrel_agent.configfile import load_config
from whimbrel_sim.fleet import Agent
from whimbrel_sim.producer import Load
from whimbrel_sim.world import World

NOBODY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="  # a region's key that nobody has
NOWHERE = "mqtt://127.0.0.1:9"  # the discard port: refused


def move(agent: Agent, *, owed: str) -> None:
    """Rewrite the configuration as whoever moves the device to a region that is not there yet."""
    text = agent.config_file.read_text()
    config = load_config(agent.config_file)
    old_key = config.device.region_key.to_text()
    (broker,) = config.uplink.brokers
    assert f'"{broker}"' in text
    text = text.replace(f'"{broker}"', f'"{NOWHERE}"').replace(old_key, NOBODY)
    text = text.replace('region = "eu-1"', 'region = "eu-2"')
    text += f'\n[former_regions.{owed}]\nregion_key = "{old_key}"\nbrokers = ["{broker}"]\n'
    agent.config_file.write_text(text)


async def test_what_was_accepted_before_the_move_goes_to_the_region_it_was_accepted_for(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=1) as world:
        agent = await world.add_agent()
        await world.producer(agent, Load(sender="till")).send(200)
        await asyncio.to_thread(agent.program.stop)

        move(agent, owed="eu-9")  # the wrong one is named
        agent.program.start()
        await world.until_status(agent, lambda status: bool(status["former"]), "owes nothing")
        (former,) = (await asyncio.to_thread(agent.status))["former"]
        assert former["address"]["region"] == "eu-1"
        assert "eu-1 is not known: name it under [former_regions]" in former["doing"]
        await asyncio.to_thread(agent.program.stop)

        text = agent.config_file.read_text()
        agent.config_file.write_text(text.replace("eu-9", "eu-1"))
        agent.program.start()
        await world.start_region()
        result = await world.drain()
        assert result.agrees, str(result)
        assert result.committed == 200
        await world.until_settled(agent)
