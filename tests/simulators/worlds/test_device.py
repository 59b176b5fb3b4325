"""A device runs the shipped agent; its connections die with its process."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from whimbrel_agent.keyfile import read_key
from whimbrel_sim.worlds.device import Device, DevicePlatform, WorldTransport
from whimbrel_sim.worlds.world import World
from worlds.virtual import Client, in_virtual_time, tiny_world, virtual_loop


def device_of(world: World) -> Device:
    return world.devices[0]


@in_virtual_time
async def test_its_settings_name_its_card_its_region_and_its_broker(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        config = device.config()
        assert config.buffer.path == device.folder / "buffer.db"
        assert config.buffer.max_bytes == world.scenario.fleet.max_bytes
        assert config.device.address == device.address
        assert config.device.region_key == world.regions[0].key.public
        assert [one.host for one in config.uplink.brokers] == ["broker-1"]
        assert read_key(config.device.key_file).public == device.key.public


@in_virtual_time
async def test_it_connects_and_listens_at_its_broker(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        [connection] = device.connections
        assert connection.client.startswith(device.name)
        assert connection.filters == (f"wb/1/down/acme/{device.name}/+",)


@in_virtual_time
async def test_an_orderly_stop_leaves_no_connection_and_no_parts(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        [connection] = device.connections
        await device.stop()
        assert (device.connections, device.parts, connection.here) == ([], None, False)
        assert device.failures == []


@in_virtual_time
async def test_a_killed_one_s_connections_vanish_without_a_word(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        [connection] = device.connections
        device.crash(power_cut=False, why="test")
        assert (connection.here, connection.there) == (False, True)
        await asyncio.sleep(120)
        assert len(device.connections) == 1
        assert device.connections != [connection]


@in_virtual_time
async def test_every_start_has_a_client_name_of_its_own(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        names = [device.connections[0].client]
        device.crash(power_cut=False, why="test")
        await asyncio.sleep(30)
        names.append(device.connections[0].client)
        assert len(set(names)) == 2


@in_virtual_time
async def test_who_waits_is_told_when_it_is_ready_again(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        device.crash(power_cut=False, why="test", down_s=3)
        begin_s = virtual_loop().time()
        await device.ready.wait()
        assert 3 <= virtual_loop().time() - begin_s < 10
        assert device.parts is not None


@in_virtual_time
async def test_a_connection_that_is_made_after_the_death_vanishes(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        assert device.process is not None
        transport = WorldTransport(device, device.process, [], device.address.region)
        before = list(device.connections)
        connecting = asyncio.create_task(transport.connect(0))
        await asyncio.sleep(0)
        device.crash(power_cut=False, why="test")
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        assert [one for one in device.connections if one not in before and one.here] == []


@in_virtual_time
async def test_its_local_service_runs_until_it_is_stopped(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        assert device.process is not None
        platform = DevicePlatform(device, device.process)
        service = platform.service(None, None, name="control")  # type: ignore[arg-type]
        task = asyncio.create_task(service.run())
        await asyncio.sleep(1)
        running = not task.done()
        await service.stop()
        await task
        service.close()
        assert (running, service.port) == (True, None)


@in_virtual_time
async def test_nothing_tells_it_of_a_network(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        device = device_of(world)
        assert device.process is not None
        told = list[str]()
        platform = DevicePlatform(device, device.process)
        watching = asyncio.create_task(platform.watch_network(lambda: told.append("returned")))
        device.ways[0][0].reset()
        await asyncio.sleep(100)
        watching.cancel()
        await asyncio.wait([watching])
        assert told == []


@in_virtual_time
async def test_a_device_hears_only_what_is_for_it(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        first, second = (one.parts for one in world.devices)
        assert first is not None
        assert second is not None
        before = second.uplink.figures().counts["down_malformed"]
        sender = await Client(world.brokers[0], "sender").connect()
        topic = f"wb/1/down/acme/{world.devices[0].name}/receipt"
        sender.connection.publish(topic, b"garbage")
        await asyncio.sleep(2)
        assert first.uplink.figures().counts["down_malformed"] == 1
        assert second.uplink.figures().counts["down_malformed"] == before == 0


def test_a_seed_is_written_as_the_agent_reads_it(tmp_path: Path) -> None:
    key_file = tmp_path / "device.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(base64.b64encode(bytes(range(32))) + b"\n")
    assert read_key(key_file).public.raw
