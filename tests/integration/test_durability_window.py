"""A lane with a durability window under ``kill -9``: at most the window is lost, and accounted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import aiohttp

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.fleet import Agent
from whimbrel_sim.journalfile import ID_FIELD
from whimbrel_sim.producer import places_of
from whimbrel_sim.world import World

TIMEOUT_S: Final = 60.0
WINDOW_S: Final = 3.0
SETTINGS: Final = {
    "lanes.bulk": {"durability_s": WINDOW_S, "linger_s": 60.0},
    "lanes.normal": {"linger_s": 60.0},
}
BLOCK: Final = 1_024
"""What an unclean stop may cost on paper beyond what was in memory: numbers reserved ahead."""


async def post(world: World, agent: Agent, lane: str, count: int) -> None:
    """Post a group without any key and enter its answer in the ledger."""
    entries = [world.ledger.post(f"{agent.address.device}-{lane}", lane) for _ in range(count)]
    lines = [
        {"type": "t", "source": entry.sender, "lane": lane,
         "data": {ID_FIELD: entry.event_id, "n": entry.number}}
        for entry in entries
    ]  # fmt: skip
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    headers = {"content-type": "application/x-ndjson"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{agent.url}/v1/events", data=body, headers=headers) as answer,
    ):
        text = await answer.text()
        assert answer.status == 202, text
    world.ledger.accept(entries, places_of(json.loads(text)["accepted"]))


def window(agent: Agent, lane: str = "bulk") -> dict[str, Any]:
    lanes = agent.status()["buffer"]["lanes"]
    found: dict[str, Any] = next(one["window"] for one in lanes if one["lane"] == lane)
    return found


async def until_it_serves(agent: Agent) -> None:
    async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{agent.url}/healthz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def killed_and_started(agent: Agent) -> None:
    agent.program.kill()
    agent.program.start()
    await until_it_serves(agent)


async def test_a_kill_takes_the_window_and_the_region_is_told(tmp_path: Path) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=4) as world:
        await world.start_region()
        agent = await world.add_agent(settings=SETTINGS)
        await until_it_serves(agent)

        await post(world, agent, "bulk", 40)
        assert window(agent)["durability_s"] == WINDOW_S
        await eventually(
            lambda: not window(agent)["held_events"], timeout_s=TIMEOUT_S, what="the window's end"
        )
        await post(world, agent, "normal", 25)
        await killed_and_started(agent)  # nothing of it was in memory only
        assert window(agent)["lost_events"] <= BLOCK

        await post(world, agent, "bulk", 60)
        agent.program.kill()  # within the window, unless this machine takes seconds for a post
        agent.program.start()
        await until_it_serves(agent)
        assert window(agent, "normal")["lost_events"] == 0
        told = window(agent)["lost_events"]
        await world.until_settled(agent, TIMEOUT_S)
        result = await world.drain()
        assert result.agrees, str(result)
        lost = result.gapped.get("unsynced", 0)
        assert result.committed == 125 - lost
        assert lost in (0, 60)
        assert lost <= told <= lost + BLOCK
        events = [e for e in world.region.contents().events if e.place.lane != "bulk"]
        assert len(events) == 25


async def test_an_orderly_stop_takes_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=5) as world:
        await world.start_region()
        agent = await world.add_agent(settings=SETTINGS)
        await until_it_serves(agent)
        await post(world, agent, "bulk", 60)
        agent.program.stop()
        agent.program.start()
        await until_it_serves(agent)
        assert window(agent)["lost_events"] == 0
        result = await world.drain()
        assert result.agrees, str(result)
        assert (result.committed, dict(result.gapped)) == (60, {})
