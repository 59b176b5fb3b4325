"""How each kind of fault begins and ends. :mod:`.faults` has their names and settings."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from whimbrel_protocol.lanes import ClockQuality
from whimbrel_sim.cards.oplog import Kind as OperationKind

from .broker import WorldBroker
from .cardport import Card
from .device import Device
from .machine import Machine
from .network import WORLD, Path, Weather
from .region import RegionMachine

if TYPE_CHECKING:
    from .world import World

End = Callable[[], None] | None
Strike = Callable[["World", Any, Mapping[str, float]], End]


class Layers:
    """What faults put over one value. They may end in any order; the newest one holds."""

    def __init__(self, fair: Any) -> None:
        self._fair = fair
        self._over: dict[object, Any] = {}

    @property
    def value(self) -> Any:
        """What holds now."""
        return next(reversed(self._over.values()), self._fair)

    def add(self, value: Any) -> Callable[[], None]:
        """Put a value over the others; returns what takes it away."""
        token = object()
        self._over[token] = value
        return lambda: self._over.pop(token, None)


def _lay_over(
    world: World, name: str, holder: Any, attribute: str, value: Any
) -> Callable[[], None]:
    """Set an attribute of what is called ``name`` until the end."""
    layers = world.layers.setdefault((name, attribute), Layers(getattr(holder, attribute)))
    take_away = layers.add(value)
    setattr(holder, attribute, layers.value)

    def end() -> None:
        take_away()
        setattr(holder, attribute, layers.value)

    return end


# ---------------------------------------------------------------------- links


def weather(**fixed: bool) -> Strike:
    def strike(world: World, path: Path, settings: Mapping[str, float]) -> End:
        del world
        fault = object()
        numbers: dict[str, Any] = dict(settings)
        path.add(fault, Weather(**fixed, **numbers))
        return lambda: path.remove(fault)

    return strike


def cut(world: World, path: Path, settings: Mapping[str, float]) -> End:
    del world
    fault = object()
    path.add(fault, Weather(up_closed=True, down_closed=True))
    if settings["reset"]:
        path.reset()

    def end() -> None:
        path.remove(fault)
        if settings["told"]:
            path.told()

    return end


def reset(world: World, path: Path, settings: Mapping[str, float]) -> End:
    del world, settings
    path.reset()
    return None


def flap(world: World, path: Path, settings: Mapping[str, float]) -> End:
    fault, over = object(), False
    loop = world.loop

    def down() -> None:
        if not over:
            path.add(fault, Weather(up_closed=True, down_closed=True))
            path.reset()
            loop.call_later(settings["off_s"], up, context=WORLD)

    def up() -> None:
        path.remove(fault)
        if not over:
            loop.call_later(settings["on_s"], down, context=WORLD)

    def end() -> None:
        nonlocal over
        over = True
        path.remove(fault)

    down()
    return end


# ---------------------------------------------------------------------- brokers


def manner(*names: str) -> Strike:
    def strike(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
        ends = []
        for name in names:
            value = type(getattr(broker.manners, name))(settings[name])
            ends.append(_lay_over(world, broker.name, broker.manners, name, value))

        def end() -> None:
            for one in ends:
                one()

        return end

    return strike


def restart_broker(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    del world, settings
    broker.restart()
    return None


def broker_down(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    del world, settings
    broker.go_down()
    return broker.come_up


# ---------------------------------------------------------------------- machines


def kill(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.crash(power_cut=False, down_s=settings["down_s"], why="kill")
    return None


def power_cut(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.crash(power_cut=True, down_s=settings["down_s"], why="power")
    return None


def fuse(*, power_cut: bool) -> Strike:
    def strike(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
        del world
        if machine.process is not None:
            machine.fuse_cuts_power = power_cut
            machine.process.fuse = max(1, int(settings["calls"]))
        return None

    return strike


def stop(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    world.do(world.restart(machine, down_s=settings["down_s"]), f"stop {machine.name}")
    return None


def sleep(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world, settings
    process = machine.process
    machine.sleep()

    def end() -> None:
        if machine.process is process:
            machine.wake()

    return end


def slow(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    return _lay_over(world, machine.name, machine, "slow_s", settings["slow_s"])


def clock_jump(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.clock.offset_ns += round(settings["by_s"] * 1e9)
    return None


def clock_lost(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    """Let the clock begin at 1970 again, and not know better."""
    del settings
    clock = machine.clock
    lost_ns = clock.wall_ns()
    clock.offset_ns -= lost_ns
    know_better = _lay_over(world, machine.name, clock, "known", ClockQuality.UNSYNCED)

    def end() -> None:
        clock.offset_ns += lost_ns
        know_better()

    return end


def clock_drift(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.clock.drift_ppm = settings["ppm"]
    return None


# ---------------------------------------------------------------------- failing cards

TAKES_ROOM: Final = (OperationKind.WRITE, OperationKind.ALLOCATE)
"""What a full disk refuses: what is written, and room asked for ahead."""


def operations_fail(*kinds: OperationKind, error: int, times: int) -> Strike:
    def strike(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
        del world
        card = machine.card
        card.faults.fail(*kinds, error=error, after=int(settings.get("after", 0)), times=times)
        return lambda: _get_well(machine, card)

    return strike


def _get_well(machine: Machine, card: Card) -> None:
    if machine.card is card:  # else it crashed meanwhile, and goes on on another one
        card.faults.clear()


def reads_flip(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    card = machine.card
    card.faults.flip(after=int(settings["after"]), seed=int(settings["after"]) + 1)
    return lambda: _get_well(machine, card)


def lies(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a card's syncs do nothing; at the end the power goes, and what it said is found out."""
    device.card.faults.lie()
    offered = {sender.name: sender.offered for sender in world.senders_of(device)}
    down_s = settings["down_s"]

    def end() -> None:
        device.crash(power_cut=True, why="the card lied", down_s=down_s)
        world.doubt_since(device, offered)

    return end


# ---------------------------------------------------------------------- cards and backups


def old_image(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Take an image of the card now; at the end put it back in."""
    del settings
    world.images += 1
    image = world.folder / f"image-{world.images}"
    shutil.copytree(device.folder, image)
    offered = {sender.name: sender.offered for sender in world.senders_of(device)}
    world.timeline.tell(device.name, "image taken")

    def end() -> None:
        world.put_image_back(device, image, offered)

    return end


def clone(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a second machine run from a copy of the card."""
    del settings
    world.clone(device)
    return None


def old_journal(world: World, region: RegionMachine, settings: Mapping[str, float]) -> End:
    """Back the journal up now; at the end its disk dies and the backup is restored."""
    if not region.journal_path.exists():
        return None
    backup = region.backup()
    down_s = settings["down_s"]
    return lambda: world.restore_backup(region, backup, down_s=down_s)


def move_store(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Move a device to another store, in another region when there is one."""
    del settings
    world.do(world.move(device), f"move {device.name}")
    return None


# ---------------------------------------------------------------------- people


def enemy(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    stop = asyncio.Event()
    world.do(world.let_attack(broker, stop, every_s=settings["every_s"]), f"enemy at {broker.name}")
    return stop.set


def rush(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a device's producers post more often."""
    posting = [one for one in world.producers if one.device is device]
    for producer in posting:
        producer.rate *= settings["times_as_often"]

    def end() -> None:
        for producer in posting:
            producer.rate /= settings["times_as_often"]

    return end
