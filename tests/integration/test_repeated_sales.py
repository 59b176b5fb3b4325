"""A till that timed out posts the same sale again: it sells once, across an agent's restart."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.fleet import Agent
from whimbrel_sim.producer import places_of
from whimbrel_sim.world import World

TIMEOUT_S = 20.0


async def post(agent: Agent, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Post until the agent is up and answers; a 202's body."""
    async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"{agent.url}/v1/events", data=body, headers=headers) as r:
                    text = await r.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
                continue
            assert r.status == 202, text
            answer: dict[str, Any] = json.loads(text)
            return answer


async def sell_twice(world: World, body: bytes, headers: dict[str, str]) -> None:
    """Post, kill the agent at once, post the same again to the new process."""
    agent = world.agents[0]
    first = await post(agent, body, headers)
    assert first["repeated"] == 0
    agent.program.kill()
    agent.program.start()
    second = await post(agent, body, headers)
    assert second["repeated"] == second["count"] == first["count"]
    assert places_of(second["accepted"]) == places_of(first["accepted"])


async def assert_refused(agent: Agent, body: bytes, headers: dict[str, str]) -> None:
    """Another body under a key that the process before this one took."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{agent.url}/v1/events", data=body, headers=headers) as answer,
    ):
        assert answer.status == 422, await answer.text()


async def test_a_repeated_sale_is_committed_once_across_a_restart(tmp_path: Path) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=3) as world:
        await world.add_agent()
        sales = [world.ledger.post("till", "normal") for _ in range(5)]
        lines = [
            {"type": "sale", "source": "till", "data": {"id": sale.event_id}} for sale in sales[:3]
        ]
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        ndjson = {"content-type": "application/x-ndjson", "idempotency-key": "receipt-4711"}
        await sell_twice(world, body, ndjson)
        await assert_refused(world.agents[0], body.replace(b"sale", b"refund"), ndjson)

        for sale in sales[3:]:
            cloud_event = {
                "specversion": "1.0",
                "id": f"sale-{sale.number}",
                "source": "/tills/1",
                "type": "sale",
                "data": {"id": sale.event_id},
            }
            structured = {"content-type": "application/cloudevents+json"}
            await sell_twice(world, json.dumps(cloud_event).encode(), structured)

        world.region.program.start()
        await eventually(
            lambda: world.compare().committed == len(sales), timeout_s=60, what="commits"
        )
        result = world.compare()
        assert result.twice == ()
        assert result.strangers == 0
        assert result.committed == len(sales)
