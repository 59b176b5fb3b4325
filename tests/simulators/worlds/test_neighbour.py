"""The neighbour listens to everything, attacks, and goes when he is told to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from whimbrel_sim.worlds.neighbour import NeighbourClient, let_attack
from whimbrel_sim.worlds.network import Message
from whimbrel_sim.worlds.world import World
from worlds.virtual import Client, in_virtual_time, make_broker, tiny_world


async def attack_for(world: World, seconds: float) -> None:
    stop = asyncio.Event()
    attack = asyncio.create_task(let_attack(world, world.brokers[0], stop, every_s=5))
    await asyncio.sleep(seconds)
    stop.set()
    await attack


@in_virtual_time
async def test_the_client_reads_in_order_and_publishes_anything() -> None:
    broker = make_broker()
    other = await Client(broker, "other").connect("wb/#")
    client = NeighbourClient()
    await client.subscribe("wb/#", qos=0)
    for number in range(3):
        client.take(Message("wb/1", b"%d" % number))
    heard = [await anext(client.messages) for _ in range(3)]
    assert [one.payload for one in heard] == [b"0", b"1", b"2"]
    await client.publish("wb/1", b"before it is connected", retain=False)
    client.connection = await broker.connect("n", other.path, [], client.take, lambda *_: None)
    await client.publish("wb/1", b"forged", qos=1, retain=False)
    await asyncio.sleep(1)
    assert other.payloads == [b"forged"]


@in_virtual_time
async def test_a_reader_waits_for_what_comes() -> None:
    client = NeighbourClient()

    async def read() -> Message:
        return await anext(client.messages)

    task = asyncio.create_task(read())
    await asyncio.sleep(5)
    waited = not task.done()
    client.take(Message("wb/1", b"x"))
    assert (waited, (await task).payload) == (True, b"x")


@in_virtual_time
async def test_agents_and_region_refuse_what_it_sends(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        await attack_for(world, 30)
        await asyncio.sleep(5)
        refused = [
            one.parts.uplink.figures().counts[name]
            for one in world.devices
            for name in ("down_forged", "down_wrong_key")
            if one.parts is not None
        ]
        assert max(refused) > 0
        world.audit.look()
        assert world.audit.violations == []


@in_virtual_time
async def test_it_leaves_nothing_running(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        before = len(asyncio.all_tasks())
        await attack_for(world, 12)
        await asyncio.sleep(5)
        assert len(asyncio.all_tasks()) == before
        assert world.timeline.counts["gone"] == 1


@in_virtual_time
async def test_it_comes_back_when_the_broker_throws_it_out(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        broker, clients = world.brokers[0], set[str]()
        broker.taps.append(lambda source, _message: clients.add(source.client))
        stop = asyncio.Event()
        attack = asyncio.create_task(let_attack(world, broker, stop, every_s=5))
        await asyncio.sleep(10)
        broker.restart()
        clients.clear()
        await asyncio.sleep(20)
        stop.set()
        await attack
        assert "enemy" in clients
