"""A region runs the shipped aggregator: enrolment, backup, restore, and an end without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path

from whimbrel_aggregator.journal.port import DeviceKey
from whimbrel_sim.worlds.region import RegionMachine
from whimbrel_sim.worlds.witness import Witness
from whimbrel_sim.worlds.world import World
from worlds.virtual import in_virtual_time, run_world, tiny_world

BUSY = """
story = "x"
duration_s = 30
[[load]]
every_s = 2
"""


async def known(region: RegionMachine) -> set[DeviceKey]:
    assert region.aggregator is not None
    assert region.process is not None
    devices = await region.process.spawn(region.aggregator.journal.devices(), "look")
    return {one.key for one in devices}


def keys_of(world: World) -> set[DeviceKey]:
    addresses = [one.address for one in world.devices]
    return {DeviceKey(one.tenant, one.store, one.device) for one in addresses}


@in_virtual_time
async def test_its_settings_name_its_card_and_its_broker(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        config = region.config()
        assert config.region.name == "eu-1"
        assert config.journal.path == region.folder / "journal.db"
        assert [one.host for one in config.broker.urls] == ["broker-1"]


@in_virtual_time
async def test_every_device_of_it_is_enrolled(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        assert await known(world.regions[0]) == keys_of(world)


@in_virtual_time
async def test_a_device_that_comes_later_is_enrolled_while_it_runs(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device, region = world.devices[0], world.regions[0]
        await device.stop()
        device.address = type(device.address)(
            tenant="acme", region="eu-1", store="store-new", device="till-1"
        )
        region.enrol([device])
        await asyncio.sleep(1)
        assert DeviceKey("acme", "store-new", "till-1") in await known(region)


@in_virtual_time
async def test_after_a_kill_it_knows_its_devices(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        region.crash(power_cut=False, why="test")
        during = region.aggregator
        await asyncio.sleep(30)
        assert during is None
        assert await known(region) == keys_of(world)


@in_virtual_time
async def test_a_killed_one_s_connection_vanishes_without_a_word(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        connection = region.connection
        assert connection is not None
        region.crash(power_cut=False, why="test")
        assert (connection.here, connection.there, region.connection) == (False, True, None)


@in_virtual_time
async def test_an_orderly_stop_is_no_failure(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        await region.stop()
        assert (region.running, region.aggregator, region.connection) == (False, None, None)
        assert region.failures == []


@in_virtual_time
async def test_a_restored_backup_has_what_was_there_when_it_was_made(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        backup = region.backup()
        await asyncio.sleep(1)
        region.crash(power_cut=False, why="disk died", down_s=5)
        region.restore(backup)
        await asyncio.sleep(10)
        assert region.running
        assert await known(region) == keys_of(world)


@in_virtual_time
async def test_each_backup_is_a_file_of_its_own(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        made = [world.regions[0].backup() for _ in range(2)]
        assert len(set(made)) == 2
        assert all(one.exists() for one in made)


def test_what_devices_sent_is_in_its_journal(tmp_path: Path) -> None:
    world = run_world(BUSY, 1, tmp_path)
    witness = Witness(world.regions[0].journal_path)
    events = sum(len(kept.events()) for kept in witness.new_frames())
    witness.close()
    assert events == world.books.offered > 20
    assert world.audit.violations == []
