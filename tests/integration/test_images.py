"""Restored images: older copies of buffers and journals, and clones, end with every event once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_sim.images import SETTINGS, put_back_older_copy, run_twins, sell
from whimbrel_sim.producer import Load
from whimbrel_sim.reconcile import Reconciliation
from whimbrel_sim.world import World

EVENTS = 300
NORMAL = {"lane": "normal"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def new_world(folder: Path, seed: int) -> World:
    return World(folder, MosquittoServer(folder / "broker"), seed=seed)


def check(result: Reconciliation, committed: int) -> None:
    assert result.agrees, str(result)
    assert result.committed == committed


async def drained(world: World, committed: int) -> None:
    """Everything is committed once, and stays so when the last receipts have come."""
    check(await world.drain(), committed)
    for agent in world.agents:
        await world.until_settled(agent)
    check(world.compare(), committed)


@pytest.mark.parametrize("published", [False, True], ids=["unpublished", "published"])
async def test_an_older_copy_of_a_stopped_buffer_doubles_nothing(
    tmp_path: Path, *, published: bool
) -> None:
    async with new_world(tmp_path, 4) as world:
        await world.start_region()
        agent = await world.add_agent()
        await sell(world, agent, "a", EVENTS, **NORMAL)
        check(await world.drain(), EVENTS)
        # Without a link nothing is published; without a region nothing is receipted.
        if published:
            world.region.program.kill()
        else:
            await world.near.cut()
        passed = world.near.counts["up.passed"]
        await sell(world, agent, "a", EVENTS, **NORMAL)
        if published:
            await eventually(
                lambda: world.near.counts["up.passed"] > passed, timeout_s=20, what="publications"
            )
        agent.program.kill()
        agent.save_image(tmp_path / "image")
        agent.program.start()
        world.near.mend()
        world.region.program.start()
        await sell(world, agent, "a", EVENTS, **NORMAL)
        await drained(world, 3 * EVENTS)

        agent.program.kill()
        agent.load_image(tmp_path / "image")
        agent.program.start()
        await sell(world, agent, "a", EVENTS, **NORMAL)
        await drained(world, 4 * EVENTS)


async def test_a_copy_of_a_running_card_put_back_doubles_nothing(tmp_path: Path) -> None:
    async with new_world(tmp_path, 11) as world:
        await world.start_region()
        agent = await world.add_agent(settings=SETTINGS)
        await put_back_older_copy(world, agent, tmp_path / "copy")
        await drained(world, len(world.ledger))


async def test_a_card_cloned_to_a_second_machine_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async with new_world(tmp_path, 5) as world:
        agent = await world.add_agent()
        await sell(world, agent, "before", EVENTS, **NORMAL)
        agent.program.kill()
        twin = agent.clone(tmp_path / "twin", world.near.url)
        world.agents.append(twin)
        world.region.program.start()
        agent.program.start()
        twin.program.start()
        await asyncio.gather(
            sell(world, agent, "first", EVENTS, **NORMAL),
            sell(world, twin, "second", EVENTS, **NORMAL),
        )
        await drained(world, 3 * EVENTS)


async def test_clones_that_number_alike_lose_and_double_nothing(tmp_path: Path) -> None:
    # A running machine copied with its memory: both go on in one numbering.
    async with new_world(tmp_path, 6) as world:
        await world.start_region()
        agent = await world.add_agent(settings=SETTINGS)
        twins = await run_twins(world, agent, tmp_path)
        senders = [f"{agent.address.device}-twin-{number}" for number in range(len(twins))]
        places = [{e.place for e in world.ledger if e.sender == sender} for sender in senders]
        assert places[0] & places[1]  # the same numbers were given twice
        await drained(world, len(world.ledger))
        assert world.region.status()["ingest"]["frames_forked"] > 0


async def test_a_journal_restored_behind_its_receipts_gets_every_event_again(
    tmp_path: Path,
) -> None:
    async with new_world(tmp_path, 7) as world:
        await world.start_region()
        agent = await world.add_agent()
        await sell(world, agent, "a", EVENTS, **NORMAL)
        check(await world.drain(), EVENTS)
        await asyncio.to_thread(world.region.backup, tmp_path / "backup.db")
        await sell(world, agent, "a", EVENTS, **NORMAL)
        await drained(world, 2 * EVENTS)
        restore(world, tmp_path / "backup.db")
        assert len(world.compare().missing) == EVENTS
        world.region.program.start()
        await sell(world, agent, "a", EVENTS, **NORMAL)
        await drained(world, 3 * EVENTS)


async def test_what_a_restored_journal_lost_and_nobody_kept_is_named(tmp_path: Path) -> None:
    # The smallest buffer keeps about half a megabyte of receipted frames: less than is lost.
    small: dict[str, dict[str, object]] = {
        "buffer": {"max_bytes": 1024 * 1024},
        "lanes.normal": {"overflow": "refuse", "linger_s": 0.1},
    }
    async with new_world(tmp_path, 8) as world:
        await world.start_region()
        agent = await world.add_agent(settings=small)
        producer = world.producer(agent, Load(sender="a", padding_bytes=2000, repeat=0.0))
        await producer.send(EVENTS)
        check(await world.drain(), EVENTS)
        await asyncio.to_thread(world.region.backup, tmp_path / "backup.db")
        await producer.send(4 * EVENTS)
        await drained(world, 5 * EVENTS)
        restore(world, tmp_path / "backup.db")
        await world.start_region()
        await producer.send(EVENTS)
        result = await world.drain()
        assert result.agrees, str(result)
        lost = result.gapped["lost_after_receipt"]
        assert EVENTS < lost < 4 * EVENTS  # some were kept and came again, some were not
        await drained(world, 6 * EVENTS - lost)


def restore(world: World, backup: Path) -> None:
    world.region.program.stop()
    world.region.restore(backup)
