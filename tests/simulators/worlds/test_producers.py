"""Producers post, and write down what they were told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from whimbrel_sim.worlds.books import ACCEPTED, REFUSED, UNSURE, Sender
from whimbrel_sim.worlds.producers import Producer
from whimbrel_sim.worlds.scenario import Lines
from whimbrel_sim.worlds.world import World, where_of
from worlds.virtual import in_virtual_time, tiny_world


def producer_of(world: World, lines: Lines) -> Producer:
    device = world.devices[0]
    sender = world.books.open("test", where_of(device.address), lines.lane)
    return Producer(sender, device, lines, Random(1))


async def post_for(producer: Producer, seconds: float) -> Sender:
    stop = asyncio.Event()
    task = asyncio.create_task(producer.run(stop))
    await asyncio.sleep(seconds)
    stop.set()
    await task
    return producer.sender


@in_virtual_time
async def test_what_an_agent_takes_is_accepted_at_its_place(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        sender = await post_for(producer_of(world, Lines(every_s=1)), 60)
        assert sender.count(ACCEPTED) == sender.offered > 60
        places = [sender.place_of(number) for number in range(1, sender.offered + 1)]
        assert None not in places
        assert len(set(places)) == sender.offered


@pytest.mark.parametrize("rate", [1.0, 10.0])
@in_virtual_time
async def test_it_posts_as_often_as_it_should(tmp_path: Path, rate: float) -> None:
    async with tiny_world(tmp_path) as world:
        producer = producer_of(world, Lines(every_s=2, events=1))
        producer.rate = rate
        sender = await post_for(producer, 100)
        assert 30 * rate < sender.offered < 75 * rate


@in_virtual_time
async def test_without_an_agent_a_plain_sender_gives_up(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        await world.devices[0].stop()
        sender = await post_for(producer_of(world, Lines(every_s=1)), 20)
        assert sender.count(REFUSED) == sender.offered > 10


@in_virtual_time
async def test_a_keyed_sender_repeats_until_it_is_answered(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = world.devices[0]
        await device.stop()
        producer = producer_of(world, Lines(every_s=1, keyed=True))
        stop = asyncio.Event()
        task = asyncio.create_task(producer.run(stop))
        await asyncio.sleep(20)
        answered = producer.sender.count(ACCEPTED) + producer.sender.count(REFUSED)
        device.start()
        await asyncio.sleep(20)
        stop.set()
        await task
        assert answered == 0
        assert producer.sender.count(ACCEPTED) == producer.sender.offered > 10


@in_virtual_time
async def test_what_a_killed_agent_did_not_answer_is_unsure(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = world.devices[0]
        device.slow_s = 5.0
        producer = producer_of(world, Lines(every_s=0.5, events=1))
        stop = asyncio.Event()
        task = asyncio.create_task(producer.run(stop))
        await asyncio.sleep(2)
        device.crash(power_cut=False, why="test", down_s=1000)
        stop.set()
        await task
        sender = producer.sender
        assert sender.count(UNSURE) == 1


@in_virtual_time
async def test_padding_makes_events_larger(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        producer = producer_of(world, Lines(padding_bytes=2_000))
        notes = [producer._event(number).data["note"] for number in range(1, 50)]
        assert 1_000 < max(len(str(note)) for note in notes) <= 2_000
