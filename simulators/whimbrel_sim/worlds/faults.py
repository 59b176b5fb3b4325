"""Everything that can befall a world, by name. Each strikes one target and may be taken back.

A fault is a function from the world, its target and its settings to what ends it (None when it is
over at once). Settings have defaults here; scenario files may give others.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from whimbrel_protocol.lanes import ClockQuality
from whimbrel_sim.cards.faults import ALWAYS, SYNCS
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


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        targets: ``path``, ``broker``, ``device``, ``region`` or ``machine`` (device or region).
        strike: lets it begin.
        settings: its settings' defaults.
        recorded: whether it needs cards that record what is written to them.
        meaning: for people.
    """

    targets: str
    strike: Strike
    meaning: str
    settings: Mapping[str, float] = field(default_factory=dict)
    recorded: bool = False


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


def _weather(**fixed: bool) -> Strike:
    def strike(world: World, path: Path, settings: Mapping[str, float]) -> End:
        del world
        fault = object()
        numbers: dict[str, Any] = dict(settings)
        path.add(fault, Weather(**fixed, **numbers))
        return lambda: path.remove(fault)

    return strike


def _cut(world: World, path: Path, settings: Mapping[str, float]) -> End:
    del world
    fault = object()
    path.add(fault, Weather(up_closed=True, down_closed=True))
    if settings["reset"]:
        path.reset()
    return lambda: path.remove(fault)


def _reset(world: World, path: Path, settings: Mapping[str, float]) -> End:
    del world, settings
    path.reset()
    return None


def _flap(world: World, path: Path, settings: Mapping[str, float]) -> End:
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


def _manner(*names: str) -> Strike:
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


def _restart_broker(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    del world, settings
    broker.restart()
    return None


def _broker_down(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    del world, settings
    broker.go_down()
    return broker.come_up


# ---------------------------------------------------------------------- machines


def _kill(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    world.crash(machine, power_cut=False, down_s=settings["down_s"], why="kill")
    return None


def _power_cut(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    world.crash(machine, power_cut=True, down_s=settings["down_s"], why="power")
    return None


def _fuse(*, power_cut: bool) -> Strike:
    def strike(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
        del world
        if machine.process is not None:
            machine.fuse_cuts_power = power_cut
            machine.process.fuse = max(1, int(settings["calls"]))
        return None

    return strike


def _stop(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    world.do(world.restart(machine, down_s=settings["down_s"]), f"stop {machine.name}")
    return None


def _sleep(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world, settings
    process = machine.process
    machine.sleep()

    def end() -> None:
        if machine.process is process:
            machine.wake()

    return end


def _slow(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    return _lay_over(world, machine.name, machine, "slow_s", settings["slow_s"])


def _clock_jump(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.clock.offset_ns += round(settings["by_s"] * 1e9)
    return None


def _clock_lost(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
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


def _clock_drift(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    machine.clock.drift_ppm = settings["ppm"]
    return None


# ---------------------------------------------------------------------- failing cards

TAKES_ROOM: Final = (OperationKind.WRITE, OperationKind.ALLOCATE)
"""What a full disk refuses: what is written, and room asked for ahead."""


def _operations_fail(*kinds: OperationKind, error: int, times: int) -> Strike:
    def strike(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
        del world
        card = machine.card
        card.faults.fail(*kinds, error=error, after=int(settings.get("after", 0)), times=times)
        return lambda: _get_well(machine, card)

    return strike


def _get_well(machine: Machine, card: Card) -> None:
    if machine.card is card:  # else it crashed meanwhile, and goes on on another one
        card.faults.clear()


def _reads_flip(world: World, machine: Machine, settings: Mapping[str, float]) -> End:
    del world
    card = machine.card
    card.faults.flip(after=int(settings["after"]), seed=int(settings["after"]) + 1)
    return lambda: _get_well(machine, card)


def _lies(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a card's syncs do nothing; at the end the power goes, and what it said is found out."""
    device.card.faults.lie()
    offered = {sender.name: sender.offered for sender in world.senders_of(device)}
    down_s = settings["down_s"]

    def end() -> None:
        device.crash(power_cut=True, why="the card lied", down_s=down_s)
        world.doubt_since(device, offered)

    return end


# ---------------------------------------------------------------------- cards and backups


def _old_image(world: World, device: Device, settings: Mapping[str, float]) -> End:
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


def _clone(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a second machine run from a copy of the card."""
    del settings
    world.clone(device)
    return None


def _old_journal(world: World, region: RegionMachine, settings: Mapping[str, float]) -> End:
    """Back the journal up now; at the end its disk dies and the backup is restored."""
    if not region.journal_path.exists():
        return None
    backup = region.backup()
    down_s = settings["down_s"]
    return lambda: world.restore_backup(region, backup, down_s=down_s)


def _move_store(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Move a device to another store, in another region when there is one."""
    del settings
    world.do(world.move(device), f"move {device.name}")
    return None


# ---------------------------------------------------------------------- people


def _enemy(world: World, broker: WorldBroker, settings: Mapping[str, float]) -> End:
    stop = asyncio.Event()
    world.do(world.let_attack(broker, stop, every_s=settings["every_s"]), f"enemy at {broker.name}")
    return stop.set


def _rush(world: World, device: Device, settings: Mapping[str, float]) -> End:
    """Let a device's producers post more often."""
    posting = [one for one in world.producers if one.device is device]
    for producer in posting:
        producer.rate *= settings["times_as_often"]

    def end() -> None:
        for producer in posting:
            producer.rate /= settings["times_as_often"]

    return end


_DOWN: Final = {"down_s": 5.0}

KINDS: Final[dict[str, Kind]] = {
    "link.cut": Kind("path", _cut, "nothing passes, either way", {"reset": 0.0}),
    "link.up_cut": Kind("path", _weather(up_closed=True), "nothing passes towards the broker"),
    "link.down_cut": Kind("path", _weather(down_closed=True), "nothing comes from the broker"),
    "link.delay": Kind("path", _weather(), "slow", {"delay_s": 2.0, "jitter_s": 2.0}),
    "link.loss": Kind("path", _weather(), "messages vanish", {"loss": 0.2}),
    "link.reorder": Kind("path", _weather(), "messages overtake others", {"reorder": 0.3}),
    "link.bandwidth": Kind("path", _weather(), "narrow", {"bandwidth_bytes_s": 2_000.0}),
    "link.captive": Kind("path", _weather(captive=True), "connects, then nothing"),
    "link.refused": Kind("path", _weather(refused=True), "connections are refused"),
    "link.reset": Kind("path", _reset, "every connection breaks"),
    "link.flap": Kind("path", _flap, "up and down again", {"on_s": 20.0, "off_s": 20.0}),
    "broker.restart": Kind("broker", _restart_broker, "restarts and is empty"),
    "broker.down": Kind("broker", _broker_down, "does not run"),
    "broker.drop": Kind("broker", _manner("drop"), "drops after its PUBACK", {"drop": 0.3}),
    "broker.duplicate": Kind("broker", _manner("duplicate"), "gives out twice", {"duplicate": 0.3}),
    "broker.late": Kind(
        "broker", _manner("late", "late_s"), "gives out again, late", {"late": 0.2, "late_s": 600.0}
    ),
    "broker.queue": Kind("broker", _manner("queue_limit"), "short queues", {"queue_limit": 10}),
    "broker.ghosts": Kind("broker", _manner("ghosts"), "keeps dead clients", {"ghosts": 1}),
    "broker.overload": Kind(
        "broker", _manner("connects_per_s"), "refuses many at once", {"connects_per_s": 5}
    ),
    "machine.kill": Kind("machine", _kill, "kill -9", _DOWN),
    "machine.power_cut": Kind("machine", _power_cut, "the power goes", _DOWN, recorded=True),
    "machine.fuse": Kind(
        "machine", _fuse(power_cut=False), "kill -9 at the nth effect from now", {"calls": 50}
    ),
    "machine.power_fuse": Kind(
        "machine",
        _fuse(power_cut=True),
        "the power goes at the nth effect",
        {"calls": 50},
        recorded=True,
    ),
    "machine.stop": Kind("machine", _stop, "an orderly restart", _DOWN),
    "machine.sleep": Kind("machine", _sleep, "stands still, as a paused virtual machine"),
    "machine.slow": Kind("machine", _slow, "its card takes long", {"slow_s": 1.0}),
    "clock.jump": Kind("machine", _clock_jump, "its clock jumps", {"by_s": 3600.0}),
    "clock.lost": Kind("machine", _clock_lost, "its clock says 1970"),
    "clock.drift": Kind("machine", _clock_drift, "its clock drifts", {"ppm": 200.0}),
    "card.full": Kind(
        "machine",
        _operations_fail(*TAKES_ROOM, error=errno.ENOSPC, times=ALWAYS),
        "its disk is full",
        recorded=True,
    ),
    "card.write_error": Kind(
        "machine",
        _operations_fail(OperationKind.WRITE, error=errno.EIO, times=1),
        "a write fails",
        {"after": 5},
        recorded=True,
    ),
    "card.sync_error": Kind(
        "machine",
        _operations_fail(*SYNCS, error=errno.EIO, times=1),
        "a sync fails: what it covered is gone with the power",
        {"after": 5},
        recorded=True,
    ),
    "card.read_error": Kind(
        "device",
        _operations_fail(OperationKind.READ, error=errno.EIO, times=1),
        "a read fails",
        {"after": 5},
        recorded=True,
    ),
    "card.read_flip": Kind(
        "device", _reads_flip, "a bit of what is read is wrong", {"after": 5}, recorded=True
    ),
    "card.lies": Kind(
        "device", _lies, "syncs do nothing, and then the power goes", _DOWN, recorded=True
    ),
    "card.old_image": Kind("device", _old_image, "an older image of the card is put back"),
    "card.clone": Kind("device", _clone, "a second machine runs from a copy of the card"),
    "region.old_journal": Kind("region", _old_journal, "its disk dies; a backup comes back", _DOWN),
    "device.move": Kind("device", _move_store, "goes to another store or region"),
    "enemy": Kind("broker", _enemy, "forges, replays and misaddresses", {"every_s": 30.0}),
    "rush": Kind("device", _rush, "posts more often", {"times_as_often": 10.0}),
}


def settings_of(kind: str) -> Mapping[str, float] | None:
    """Return a kind's settings with their defaults, None when it is not known."""
    found = KINDS.get(kind)
    return None if found is None else found.settings
