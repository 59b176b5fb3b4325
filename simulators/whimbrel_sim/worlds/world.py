"""One world: regions, brokers, devices and people, made from a scenario and a seed, and run.

Everything that can vary is drawn from the seed, and every part has chance of its own, so that one
part's drawing more does not change another's.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any, Final

from whimbrel_protocol.keys import SEED_BYTES, PrivateKey
from whimbrel_protocol.names import Address

from . import network
from .audit import Audit
from .books import Books, Sender
from .broker import WorldBroker
from .cardport import Card, plain_card
from .casting import schedule
from .clocks import AgentClock, RegionClock
from .device import Device
from .loop import VirtualTimeLoop
from .machine import Machine
from .neighbour import let_attack
from .producers import Producer
from .region import RegionMachine
from .scenario import Lines, Scenario
from .settings import agent_settings, aggregator_settings
from .strikes import Layers
from .timeline import Timeline

TENANT: Final = "acme"
"""Who owns a store; where a scenario has several tenants, the others are acme-2, acme-3, ..."""

DRAIN_LOOK_S: Final = 5.0


class World:
    """See the module. Make it inside a running :class:`VirtualTimeLoop`.

    Args:
        scenario: what it is made of.
        seed: decides everything.
        folder: an empty one for its machines' cards.
        write: takes the timeline's lines.
        new_card: makes the cards; the default ones cannot lose unsynced writes.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        folder: Path,
        *,
        write: Callable[[str], None] | None = None,
        new_card: Callable[[Path], Card] = plain_card,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.loop = loop
        self.scenario = scenario
        self.seed = seed
        self.folder = folder
        self.timeline = Timeline(write)
        self.new_card = new_card
        self.books = Books()
        self.brokers: list[WorldBroker] = []
        self.regions: list[RegionMachine] = []
        self.devices: list[Device] = []
        self.producers: list[Producer] = []
        self.images = 0
        self.layers: dict[tuple[str, str], Layers] = {}
        self._stop = asyncio.Event()
        self._chores: asyncio.TaskGroup | None = None
        self.agent = agent_settings(scenario.agent)
        self.audit = Audit(self)
        for number in range(1, scenario.fleet.regions + 1):
            self._add_region(number)

    def random(self, *what: object) -> Random:
        """Return chance for one part of the world."""
        return Random(f"{self.seed}/{'/'.join(map(str, what))}")

    # ------------------------------------------------------------------ making

    def _add_region(self, number: int) -> None:
        name = f"eu-{number}"
        broker = WorldBroker(
            f"broker-{number}", self.loop, self.random("broker", number), self.timeline
        )
        seed = self.random("key", name).randbytes(SEED_BYTES)
        region = RegionMachine(
            name,
            PrivateKey(seed),
            seed,
            self.folder / name,
            way=(self.path(name), broker),
            clock=RegionClock(self.loop, self.random("clock", name)),
            random=self.random("region", name),
            timeline=self.timeline,
            settings=aggregator_settings(self.scenario.aggregator),
        )
        self._adopt(region)
        self.brokers.append(broker)
        self.regions.append(region)
        for store in range(1, self.scenario.fleet.stores + 1):
            for device in range(1, self.scenario.fleet.devices + 1):
                self._add_device(region, f"store-{number}-{store}", f"till-{device}")

    def path(self, name: str) -> network.Path:
        """Return a new way to a broker."""
        return network.Path(name, self.loop, self.random("path", name))

    def _adopt(self, machine: Machine) -> None:
        machine.use_cards(self.new_card)
        self.audit.watch(machine)

    def _add_device(self, region: RegionMachine, store: str, name: str) -> None:
        tenant = tenant_of(store, self.scenario.fleet.tenants)
        address = Address(tenant=tenant, region=region.name, store=store, device=name)
        self.add_device(region, address, f"{store}/{name}")

    def add_device(
        self, region: RegionMachine, address: Address, name: str, *, like: Device | None = None
    ) -> Device:
        """Make a device with producers; ``like`` is the one whose key it has."""
        seed = like.seed if like else self.random("key", address).randbytes(SEED_BYTES)
        device = Device(
            address,
            PrivateKey(seed),
            seed,
            self.folder / name.replace("/", "-"),
            region_key=region.key.public,
            ways=[(self.path(name), region.broker)],
            clock=AgentClock(self.loop, self.random("clock", name)),
            random=self.random("device", name),
            timeline=self.timeline,
            name=name,
            max_bytes=self.scenario.fleet.max_bytes,
            settings=self.agent,
        )
        self._adopt(device)
        self.devices.append(device)
        region.enrol([device])
        for number, lines in enumerate(self.scenario.load, 1):
            if not _has(device, lines):
                continue
            sender = self.books.open(f"{name}/{number}", where_of(address), lines.lane)
            sender.ruled = lines.ruled
            random = self.random("producer", name, number)
            self.producers.append(Producer(sender, device, lines, random))
        return device

    @property
    def machines(self) -> list[Machine]:
        """All machines, regions first."""
        return [*self.regions, *self.devices]

    def region_of(self, device: Device) -> RegionMachine:
        """Return the region that a device belongs to."""
        return next(one for one in self.regions if one.name == device.address.region)

    def senders_of(self, device: Device) -> list[Sender]:
        """Return the books of a device's producers."""
        return [one.sender for one in self.producers if one.device is device]

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Let the scenario happen, mend everything, let it drain, and check."""
        async with asyncio.TaskGroup() as chores:
            self._chores = chores
            for machine in self.machines:
                machine.start()
            for producer in self.producers:
                self.do(producer.run(self._stop), f"producer {producer.sender.name}")
            ends = schedule(self)
            await self._until(self.scenario.duration_s)
            self._stop.set()
            ends.all_now()
            for machine in self.machines:
                if machine.process is not None:
                    machine.process.fuse = None
            self.timeline.tell("world", "mended")
            await self._drain()
            for machine in self.machines:
                machine.retired = True
            for machine in self.machines:
                await machine.stop()
        self.audit.close()

    def close(self) -> None:
        """Let go of files: cards that still fail must not fail who removes them."""
        self.audit.close()
        for machine in self.machines:
            machine.card.close()

    def do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Let something go on beside the rest; the world waits for its end."""
        assert self._chores is not None
        self._chores.create_task(work, name=name)

    async def _until(self, end_s: float) -> None:
        while self.loop.time() < end_s:
            await asyncio.sleep(min(self.scenario.check_s, end_s - self.loop.time()))
            self.audit.look()

    async def _drain(self) -> None:
        """Wait until everything accepted is accounted for and every device has settled it."""
        deadline_s = self.loop.time() + self.scenario.drain_s
        for machine in self.machines:
            machine.mend()
        while self.loop.time() < deadline_s:
            await asyncio.sleep(DRAIN_LOOK_S)
            self.audit.look()
            if self.audit.nothing_open() and await self.audit.all_settled():
                break
        await self.audit.finish()

    # ------------------------------------------------------------------ what faults ask for

    async def restart(self, machine: Machine, *, down_s: float) -> None:
        """Stop a machine in an orderly way and start it again."""
        await machine.stop()
        machine.start_after(down_s)

    def put_image_back(self, device: Device, image: Path, offered: dict[str, int]) -> None:
        """Let a device go on from an older image of its card.

        What it accepted since is on a card that is gone: it may be committed or not.
        """
        device.crash(power_cut=False, why="card replaced")
        device.replace_contents(image)
        self.audit.journal.copied.add(where_of(device.address))
        self.doubt_since(device, offered)
        self.timeline.tell(device.name, "older image is back")

    def doubt_since(self, device: Device, offered: dict[str, int]) -> None:
        """Let nobody rely on what a device accepted since its senders had offered so many."""
        for sender in self.senders_of(device):
            sender.doubt(range(offered.get(sender.name, 0) + 1, sender.offered + 1))

    def clone(self, device: Device) -> None:
        """Let a second machine run from a copy of a device's card."""
        name = f"{device.name}~{len(self.devices)}"
        image = self.folder / f"clone-{len(self.devices)}"
        shutil.copytree(device.folder, image)
        twin = self.add_device(self.region_of(device), device.address, name, like=device)
        twin.replace_contents(image)
        twin.former = dict(device.former)
        self.audit.journal.copied.add(where_of(device.address))
        self.timeline.tell(name, "cloned", of=device.name)
        for producer in self.producers:
            if producer.device is twin:
                self.do(producer.run(self._stop), f"producer {producer.sender.name}")
        twin.start()

    def restore_backup(self, region: RegionMachine, backup: Path, *, down_s: float) -> None:
        """Let a region's disk die and yesterday's backup come back."""
        region.crash(power_cut=False, why="disk died", down_s=down_s)
        region.restore(backup)
        self.audit.restored(region)

    async def move(self, device: Device) -> None:
        """Let a device go to another store, and to another region when there is one."""
        await device.stop()
        old = device.address
        regions = [one for one in self.regions if one.name != device.address.region]
        region = regions[0] if regions else self.region_of(device)
        store = f"{device.address.store}-b"
        device.address = Address(
            tenant=device.address.tenant,
            region=region.name,
            store=store,
            device=device.address.device,
        )
        device.former[old.region] = device.region_key, device.ways
        device.region_key = region.key.public
        device.ways = [(device.ways[0][0], region.broker)]
        region.enrol([device])
        for sender in self.senders_of(device):
            sender.where = where_of(device.address)
        self.timeline.tell(device.name, "moved", to=device.address)
        device.start_after(30.0)

    async def let_attack(self, broker: WorldBroker, stop: asyncio.Event, *, every_s: float) -> None:
        """Let a hostile neighbour at a broker."""
        await let_attack(self, broker, stop, every_s=every_s)


def where_of(address: Address) -> str:
    """Return tenant, store and device of an address as one text."""
    return f"{address.tenant}/{address.store}/{address.device}"


def tenant_of(store: str, tenants: int) -> str:
    """Return whose store it is: they are dealt out in turn, by the number in their names."""
    place = (int(store.rpartition("-")[2]) - 1) % tenants
    return f"{TENANT}-{place + 1}" if place else TENANT


def _has(device: Device, lines: Lines) -> bool:
    """Say whether a device has the sender of these lines; a clone has what its original has."""
    address = device.address
    return not lines.on or f"{address.store}/{address.device}/".startswith(f"{lines.on}/")
