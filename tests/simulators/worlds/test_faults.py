"""Every kind of fault strikes, ends, and leaves things as they were."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from copy import copy
from dataclasses import fields
from pathlib import Path
from random import Random

import pytest

from whimbrel_protocol.lanes import ClockQuality
from whimbrel_sim.cards.faults import Faults
from whimbrel_sim.worlds.cardport import Card, NoRecorderError
from whimbrel_sim.worlds.device import Device
from whimbrel_sim.worlds.faults import KINDS, settings_of
from whimbrel_sim.worlds.network import Weather
from whimbrel_sim.worlds.scenario import FaultLine
from whimbrel_sim.worlds.strikes import End
from whimbrel_sim.worlds.world import World
from worlds.virtual import in_virtual_time, tiny_world

LINKS = [name for name, kind in KINDS.items() if kind.targets == "path" and name != "link.reset"]
MANNERS = [
    name
    for name, kind in KINDS.items()
    if kind.targets == "broker" and name not in ("broker.restart", "broker.down", "enemy")
]


class SyncedCard:
    """A card that loses nothing in a power cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def image_after_kill(self, target: Path) -> None:
        shutil.copytree(self._folder, target)

    def image_after_power_cut(self, target: Path, random: Random) -> None:
        del random
        shutil.copytree(self._folder, target)

    def close(self) -> None:
        pass

    @property
    def faults(self) -> Faults:
        raise NoRecorderError(self._folder)


def synced(folder: Path) -> Card:
    return SyncedCard(folder)


def strike(world: World, kind: str, target: object, **settings: float) -> End:
    assert set(settings) <= set(KINDS[kind].settings)
    given: Mapping[str, float] = {**KINDS[kind].settings, **settings}
    return KINDS[kind].strike(world, target, given)


def end(ends: End) -> None:
    assert ends is not None
    ends()


def device_of(world: World) -> Device:
    return world.devices[0]


def test_every_kind_says_what_it_is_and_what_it_strikes() -> None:
    for name, kind in KINDS.items():
        assert kind.meaning
        assert kind.targets in {"path", "broker", "device", "region", "machine"}
        assert settings_of(name) == kind.settings
    assert settings_of("no-such-kind") is None


def test_no_setting_of_a_kind_is_called_as_a_line_s_own() -> None:
    own = {one.name for one in fields(FaultLine)}
    assert [name for name, kind in KINDS.items() if own & set(kind.settings)] == []


class TestLinks:
    @pytest.mark.parametrize("kind", LINKS)
    @in_virtual_time
    async def test_the_weather_is_fair_again_after_it(self, tmp_path: Path, kind: str) -> None:
        async with tiny_world(tmp_path) as world:
            path = device_of(world).ways[0][0]
            ends = strike(world, kind, path)
            during = path.weather
            end(ends)
            await asyncio.sleep(60)
            assert (during != path.fair, path.weather) == (True, path.fair)

    @in_virtual_time
    async def test_a_cut_may_break_connections_at_once(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            path = device_of(world).ways[0][0]
            connected = [len(device_of(world).connections)]
            for reset in (0.0, 1.0):
                end(strike(world, "link.cut", path, reset=reset))
                connected.append(len(device_of(world).connections))
            assert connected == [1, 1, 0]

    @in_virtual_time
    async def test_a_reset_breaks_connections_and_they_come_back(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            device = device_of(world)
            assert strike(world, "link.reset", device.ways[0][0]) is None
            connected = [len(device.connections)]
            await asyncio.sleep(120)
            connected.append(len(device.connections))
            assert connected == [0, 1]

    @in_virtual_time
    async def test_a_flap_goes_on_until_it_ends(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            path = device_of(world).ways[0][0]
            ends = strike(world, "link.flap", path, on_s=10, off_s=5)
            closed = []
            for _ in range(4):
                await asyncio.sleep(2.5)
                closed.append(path.weather.closed)
                await asyncio.sleep(5)
                closed.append(path.weather.closed)
            end(ends)
            await asyncio.sleep(60)
            assert set(closed) == {True, False}
            assert path.weather == path.fair

    @in_virtual_time
    async def test_settings_say_how_bad_it_is(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            path = device_of(world).ways[0][0]
            end_it = strike(world, "link.loss", path, loss=0.75)
            assert path.weather == path.fair.joined(Weather(loss=0.75))
            end(end_it)


class TestBrokers:
    @pytest.mark.parametrize("kind", MANNERS)
    @in_virtual_time
    async def test_its_manners_are_as_before_after_it(self, tmp_path: Path, kind: str) -> None:
        async with tiny_world(tmp_path) as world:
            broker = world.brokers[0]
            before = copy(broker.manners)
            ends = strike(world, kind, broker)
            during = copy(broker.manners)
            end(ends)
            assert (during != before, broker.manners) == (True, before)

    @pytest.mark.parametrize("first_ends_first", [True, False])
    @in_virtual_time
    async def test_two_at_once_end_in_any_order(
        self, tmp_path: Path, first_ends_first: bool
    ) -> None:
        async with tiny_world(tmp_path) as world:
            manners = world.brokers[0].manners
            ends = [strike(world, "broker.drop", world.brokers[0], drop=d) for d in (0.1, 0.7)]
            dropped = [manners.drop]
            for one in ends if first_ends_first else reversed(ends):
                end(one)
                dropped.append(manners.drop)
            assert dropped == [0.7, 0.7 if first_ends_first else 0.1, 0.0]

    @in_virtual_time
    async def test_a_restart_breaks_every_connection(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            assert strike(world, "broker.restart", world.brokers[0]) is None
            assert [one.connections for one in world.devices] == [[], []]
            assert world.regions[0].connection is None

    @in_virtual_time
    async def test_one_that_is_down_comes_up_again(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            ends = strike(world, "broker.down", world.brokers[0])
            await asyncio.sleep(60)
            connected = [len(device_of(world).connections)]
            end(ends)
            await asyncio.sleep(120)
            connected.append(len(device_of(world).connections))
            assert connected == [0, 1]

    @in_virtual_time
    async def test_an_enemy_comes_and_goes(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            ends = strike(world, "enemy", world.brokers[0], every_s=5)
            await asyncio.sleep(20)
            during = world.brokers[0].counts["published"]
            end(ends)
            await asyncio.sleep(20)
            assert during > 20
            assert world.timeline.counts["gone"] == 1


class TestMachines:
    @pytest.mark.parametrize("kind", ["machine.kill", "machine.power_cut"])
    @in_virtual_time
    async def test_a_killed_machine_starts_again(self, tmp_path: Path, kind: str) -> None:
        async with tiny_world(tmp_path, new_card=synced) as world:
            for machine in (device_of(world), world.regions[0]):
                boot = machine.clock.boot
                assert strike(world, kind, machine, down_s=3) is None
                running = [machine.running]
                await asyncio.sleep(4)
                running.append(machine.running)
                assert running == [False, True]
                assert (machine.clock.boot != boot) == (kind == "machine.power_cut")

    @pytest.mark.parametrize("kind", ["machine.fuse", "machine.power_fuse"])
    @in_virtual_time
    async def test_a_fuse_kills_it_in_the_middle_of_something(
        self, tmp_path: Path, kind: str
    ) -> None:
        async with tiny_world(tmp_path, new_card=synced) as world:
            device = device_of(world)
            process, boot = device.process, device.clock.boot
            strike(world, kind, device, calls=4)
            end(strike(world, "link.reset", device.ways[0][0]) or (lambda: None))
            await asyncio.sleep(90)
            assert device.process is not process
            assert (device.clock.boot != boot) == (kind == "machine.power_fuse")

    @in_virtual_time
    async def test_a_stop_is_orderly_and_it_starts_again(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            strike(world, "machine.stop", device_of(world), down_s=3)
            await asyncio.sleep(30)
            assert world.timeline.counts["stopped"] == 1
            assert device_of(world).starts == 2

    @in_virtual_time
    async def test_one_that_sleeps_wakes_at_the_end(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            process = device_of(world).process
            assert process is not None
            ends = strike(world, "machine.sleep", device_of(world))
            asleep = [process.asleep]
            end(ends)
            asleep.append(process.asleep)
            assert asleep == [True, False]

    @in_virtual_time
    async def test_a_later_process_is_not_woken_for_an_earlier_one(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            device = device_of(world)
            first = strike(world, "machine.sleep", device)
            strike(world, "machine.kill", device, down_s=1)
            await asyncio.sleep(5)
            second = strike(world, "machine.sleep", device)
            end(first)
            assert device.process is not None
            assert device.process.asleep
            end(second)

    @in_virtual_time
    async def test_a_slow_card_is_as_fast_as_before_after_it(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            device = device_of(world)
            ends = strike(world, "machine.slow", device, slow_s=2)
            during = device.slow_s
            end(ends)
            assert (during, device.slow_s) == (2, 0)

    @in_virtual_time
    async def test_two_that_slow_it_down_leave_it_as_it_was(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            device = device_of(world)
            for one in [strike(world, "machine.slow", device, slow_s=s) for s in (1, 2)]:
                end(one)
            assert device.slow_s == 0


class TestClocks:
    @in_virtual_time
    async def test_a_jump_stays(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            clock = device_of(world).clock
            before = clock.wall_ns()
            assert strike(world, "clock.jump", device_of(world), by_s=-60) is None
            assert clock.wall_ns() - before == -60 * 10**9

    @in_virtual_time
    async def test_a_lost_one_says_1970_and_knows_it_until_it_ends(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            clock = device_of(world).clock
            before = clock.wall_ns()
            ends = strike(world, "clock.lost", device_of(world))
            during = clock.wall_ns(), clock.quality()
            end(ends)
            assert during == (0, ClockQuality.UNSYNCED)
            assert (clock.wall_ns(), clock.quality()) == (before, ClockQuality.SYNCED)

    @in_virtual_time
    async def test_one_that_is_lost_twice_and_jumps_meanwhile_keeps_the_jump_alone(
        self, tmp_path: Path
    ) -> None:
        async with tiny_world(tmp_path) as world:
            clock = device_of(world).clock
            before = clock.offset_ns
            first = strike(world, "clock.lost", device_of(world))
            await asyncio.sleep(10)
            second = strike(world, "clock.lost", device_of(world))
            strike(world, "clock.jump", device_of(world), by_s=60)
            end(first)
            end(second)
            assert clock.offset_ns - before == 60 * 10**9
            assert clock.quality() is ClockQuality.SYNCED

    @in_virtual_time
    async def test_a_drift_stays(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            strike(world, "clock.drift", device_of(world), ppm=50)
            assert device_of(world).clock.drift_ppm == 50


class TestCards:
    @in_virtual_time
    async def test_an_older_image_comes_back_at_the_end(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            device = device_of(world)
            (device.folder / "mark").write_text("old")
            ends = strike(world, "card.old_image", device)
            (device.folder / "mark").write_text("new")
            sender = world.senders_of(device)[0]
            sender.accept(sender.offer(2, 0.0), [])
            end(ends)
            assert (device.folder / "mark").read_text() == "old"
            assert sender.count(1) == 0  # nobody knows any more what became of them

    @in_virtual_time
    async def test_a_clone_is_a_second_machine_of_the_same_name(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            strike(world, "card.clone", device_of(world))
            await asyncio.sleep(10)
            twin = world.devices[-1]
            assert len(world.devices) == 3
            assert twin.running
            assert twin.address == device_of(world).address
            assert twin.key.public.raw == device_of(world).key.public.raw
            world._stop.set()

    @in_virtual_time
    async def test_a_backup_comes_back_at_the_end(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            region = world.regions[0]
            ends = strike(world, "region.old_journal", region)
            end(ends)
            running = [region.running]
            await asyncio.sleep(10)
            running.append(region.running)
            assert running == [False, True]
            assert world.timeline.counts["restored"] == 1

    @in_virtual_time
    async def test_a_device_that_moves_has_another_store(self, tmp_path: Path) -> None:
        async with tiny_world(tmp_path) as world:
            before = device_of(world).address
            strike(world, "device.move", device_of(world))
            await asyncio.sleep(60)
            assert device_of(world).address.store == f"{before.store}-b"
            assert device_of(world).running


@in_virtual_time
async def test_a_rush_is_over_at_its_end(tmp_path: Path) -> None:
    async with tiny_world(tmp_path) as world:
        posting = [one for one in world.producers if one.device is device_of(world)]
        others = [one for one in world.producers if one.device is not device_of(world)]
        ends = strike(world, "rush", device_of(world), times_as_often=4)
        during = [one.rate for one in [*posting, *others]]
        end(ends)
        assert during == [4, 1]
        assert [one.rate for one in posting] == [1]


def test_no_kind_is_left_out_here() -> None:
    """Kinds that are added must be added here, or where cards are recorded."""
    text = Path(__file__).read_text() + Path(__file__).with_name("recorded.toml").read_text()
    assert [name for name in KINDS if name not in {*LINKS, *MANNERS} and name not in text] == []
