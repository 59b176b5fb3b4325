"""An enemy on the broker frees nothing and commits nothing; everything it sends is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.fleet import Agent
from whimbrel_sim.hostile import Enemy
from whimbrel_sim.producer import Load
from whimbrel_sim.world import World

EVENTS = 300
TIMEOUT_S = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@asynccontextmanager
async def enemy_on(world: World) -> AsyncIterator[Enemy]:
    client = aiomqtt.Client(
        world.broker.host, world.broker.port, protocol=aiomqtt.ProtocolVersion.V311, timeout=10
    )
    async with client, asyncio.TaskGroup() as group:
        enemy = Enemy(client, Random(1))
        listening = group.create_task(enemy.listen(), name="enemy.listen")
        yield enemy
        listening.cancel()


async def send(world: World, agent: Agent, sender: str) -> None:
    load = Load(sender=sender, batch_events=30, repeat=0.0)
    await world.producer(agent, load).send(EVENTS)


def refusals(agent: Agent) -> int:
    """How many down messages the agent ignored, for whatever reason."""
    counts: dict[str, int] = agent.status()["uplink"]["counts"]
    return sum(number for name, number in counts.items() if name.startswith("down_"))


@pytest.mark.parametrize("retain", [False, True], ids=["plain", "retained"])
async def test_forged_replayed_and_misaddressed_words_free_nothing(
    tmp_path: Path, *, retain: bool
) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=12) as world:
        await world.start_region()
        victim = await world.add_agent(device="till-1")
        other = await world.add_agent(device="till-2")
        async with enemy_on(world) as enemy:
            for agent in (victim, other):
                await send(world, agent, f"{agent.address.device}-before")
            assert (await world.drain()).agrees
            for agent in (victim, other):
                await world.until_settled(agent)

            # The region is away; the victim's frames are at the broker and in the enemy's hands.
            world.region.program.kill()
            heard = len(enemy.frames)
            await send(world, victim, "till-1-after")
            await eventually(
                lambda: len(enemy.frames) > heard, timeout_s=TIMEOUT_S, what="overheard frames"
            )
            before = victim.status()["buffer"]
            assert before["pending"] == EVENTS
            refused = refusals(victim)
            await enemy.attack_agent(victim.address, other=other.address.device, retain=retain)
            # A genuine receipt played again is read like any late one, and matches nothing.
            expected = enemy.sent.total() - enemy.sent["replayed_receipt"]
            await eventually(
                lambda: refusals(victim) - refused >= expected, timeout_s=TIMEOUT_S, what="refusals"
            )
            after = victim.status()["buffer"]
            for figure in ("accepted", "delivered", "gapped", "pending"):
                assert after[figure] == before[figure], figure

            if retain:  # a new process meets the retained ones when it subscribes
                victim.program.kill()
                victim.program.start()
            world.region.program.start()
            await send(world, victim, "till-1-after")
            result = await world.drain()
            assert result.agrees, str(result)
            assert result.gapped == {}
            if retain:
                assert victim.status()["uplink"]["counts"]["down_retained"] > 0


async def test_forged_replayed_and_misaddressed_frames_commit_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=13) as world:
        await world.start_region()
        agents = [await world.add_agent(device=f"till-{number}") for number in (1, 2)]
        async with enemy_on(world) as enemy:
            for agent in agents:
                await send(world, agent, agent.address.device)
            assert (await world.drain()).agrees
            frames = world.region.contents().frames
            stranger = replace(agents[0].address, store="store-9", device="thief")
            before = world.region.status()["ingest"]
            await enemy.attack_region(stranger=stranger)
            await enemy.attack_region(stranger=stranger, retain=True)
            wanted = enemy.sent.total()
            await eventually(
                lambda: handled(world.region.status()["ingest"], before) >= wanted,
                timeout_s=TIMEOUT_S,
                what="handling of every attack",
            )
            counts = {
                name: number - before[name]
                for name, number in world.region.status()["ingest"].items()
            }
            assert world.region.contents().frames == frames
            assert world.compare().agrees
            assert counts["frames_committed"] == counts["frames_forked"] == 0
            assert counts["gaps_committed"] == counts["frames_refused"] == 0
            assert counts["frames_duplicate"] == enemy.sent["replayed_frame"]
            assert counts["held_not_enrolled"] >= enemy.sent["stranger_frame"]
            assert counts["refused_misaddressed"] >= enemy.sent["misaddressed_frame"]
            assert counts["refused_topic"] >= enemy.sent["bad_topic"]


def handled(counts: dict[str, int], before: dict[str, int]) -> int:
    """How many messages came to an end of any kind."""
    ends = [
        name
        for name in counts
        if name.startswith(("refused_", "held_", "dropped_", "frames_dup", "resumes_received"))
    ]
    return sum(counts[name] - before[name] for name in ends)
