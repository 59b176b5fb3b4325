"""A region of the world: the shipped aggregator on a simulated machine."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from whimbrel_aggregator.app import Aggregator, serve
from whimbrel_aggregator.config import (
    AggregatorConfig,
    ApiConfig,
    BrokerConfig,
    BrokerUrl,
    JournalConfig,
    RegionConfig,
)
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.journal.backup import restore_backup, write_backup
from whimbrel_aggregator.journal.port import DeviceKey, EnrolledDevice
from whimbrel_aggregator.ports import Feed, Runner, Workers
from whimbrel_aggregator.services import Services
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.topics import up_filters

from . import network
from .broker import Connection, NoConnectionError, WorldBroker
from .clocks import RegionClock
from .device import Device
from .machine import Machine, Process, WorldRunner, WorldWorkers
from .settings import aggregator_settings
from .timeline import Timeline

RETRY_S: Final = 2.0
"""A region's broker is near: its feed tries again this soon."""


class RegionMachine(Machine):
    """A machine that runs an aggregator.

    Attributes:
        key: signs receipts.
        path: its way to its broker.
        aggregator: the running one; None while it does not run.
        settings: of the aggregator; its key, its files and its broker are the world's.
    """

    def __init__(
        self,
        name: str,
        key: PrivateKey,
        seed: bytes,
        root: Path,
        *,
        way: tuple[network.Path, WorldBroker],
        clock: RegionClock,
        random: Random,
        timeline: Timeline,
        settings: AggregatorConfig | None = None,
        max_bytes: int = 2**30,
    ) -> None:
        super().__init__(name, root, clock=clock, random=random, timeline=timeline)
        self.own_clock = clock
        self.key = key
        self.path, self.broker = way
        self.aggregator: Aggregator | None = None
        self.settings = aggregator_settings({}) if settings is None else settings
        self.max_bytes = max_bytes
        self.enrolled: dict[DeviceKey, Device] = {}
        self.connection: Connection | None = None
        self.backups = 0
        self.key_file = root / "region.key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(base64.b64encode(seed) + b"\n")

    @property
    def journal_path(self) -> Path:
        """The journal's file, where it lies now."""
        return self.folder / "journal.db"

    def config(self) -> AggregatorConfig:
        """Return the aggregator's settings for its next start."""
        return replace(
            self.settings,
            region=RegionConfig(self.name, self.key_file),
            broker=BrokerConfig(urls=(BrokerUrl("mqtt", self.broker.name, 1883),)),
            journal=JournalConfig(
                path=self.journal_path, max_bytes=self.max_bytes, min_free_bytes=0
            ),
        )

    async def main(self, process: Process) -> None:
        """Run the aggregator."""
        try:
            await serve(
                self.config(),
                stop=process.stop,
                ready=lambda aggregator: self._is_ready(process, aggregator),
                platform=RegionPlatform(self, process),
            )
        finally:
            if self.process in (process, None):
                self.aggregator = None

    def _is_ready(self, process: Process, aggregator: Aggregator) -> None:
        if process.alive:
            self.aggregator = aggregator
            self.timeline.tell(self.name, "ready")
            process.spawn(self._enrol(process, aggregator), f"{self.name}.enrol")

    async def _enrol(self, process: Process, aggregator: Aggregator) -> None:
        """Do as an operator after a start: every device must be known."""
        known = {one.key for one in await aggregator.journal.devices()}
        for key, device in self.enrolled.items():
            if key not in known:
                await self._add(aggregator, key, device)
        process.touch()

    async def _add(self, aggregator: Aggregator, key: DeviceKey, device: Device) -> None:
        public = device.key.public.raw
        await aggregator.journal.enrol(
            EnrolledDevice(
                key=key,
                region=self.name,
                public_keys=(public,),
                enrolled_ns=self.clock.wall_ns(),
            )
        )
        aggregator.services().enrolled()

    def enrol(self, devices: Iterable[Device]) -> None:
        """Let devices in, now and after every restore."""
        for device in devices:
            address = device.address
            self.enrolled[DeviceKey(address.tenant, address.store, address.device)] = device
        if self.process is not None and self.aggregator is not None:
            self.process.spawn(self._enrol(self.process, self.aggregator), f"{self.name}.enrol")

    def backup(self) -> Path:
        """Write a backup beside the card, as an operator's command does; return its path."""
        self.backups += 1
        target = self.root / f"backup-{self.backups}.db"
        write_backup(self.journal_path, target)
        self.timeline.tell(self.name, "backup", number=self.backups)
        return target

    def restore(self, backup: Path) -> None:
        """Put a backup in the journal's place, by the operator's command; nothing may run."""
        assert self.process is None
        restore_backup(backup, self.journal_path, replace=True)
        self.timeline.tell(self.name, "restored")

    def left(self) -> None:
        """The process is gone: so is its connection."""
        self.aggregator = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.vanish()


class RegionPlatform:
    """The aggregator's platform in a world."""

    def __init__(self, machine: RegionMachine, process: Process) -> None:
        self._machine = machine
        self._process = process
        self.clock = machine.own_clock
        self.random = machine.random

    def runner(self, name: str) -> Runner:
        """Run work in the caller."""
        del name
        return WorldRunner(self._process)

    def workers(self, threads: int, name: str) -> Workers:
        """Run work in the caller."""
        del threads, name
        return WorldWorkers(self._process)

    def feed(
        self, config: AggregatorConfig, offer: Callable[[Delivery], bool], counters: Counters
    ) -> Feed:
        """Return the way to the world's broker."""
        del config
        return WorldFeed(self._machine, self._process, offer, counters)

    async def serve_api(
        self,
        config: ApiConfig,
        services: Services,
        runner: Runner,
        on_ready: Callable[[str, int], None],
    ) -> None:
        """Serve nobody: the world has no sockets."""
        del services, runner
        on_ready(config.host, config.port)
        await asyncio.Event().wait()


class WorldFeed:
    """The aggregator's feed port over the world's network."""

    def __init__(
        self,
        machine: RegionMachine,
        process: Process,
        offer: Callable[[Delivery], bool],
        counters: Counters,
    ) -> None:
        self._machine = machine
        self._process = process
        self._offer = offer
        self._counters = counters
        self._client = f"region-{machine.name}-{machine.random.randbytes(4).hex()}"
        self._over = asyncio.Event()
        self.connected = ""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand an answer to the broker; False without one."""
        self._process.touch()
        connection = self._machine.connection
        if connection is None:
            return False
        connection.publish(topic, payload)
        return True

    async def run(self) -> None:
        """Stay connected until cancelled."""
        machine = self._machine
        while True:
            self._over.clear()
            try:
                connection = await machine.broker.connect(
                    self._client, machine.path, up_filters(), self._take, self._broken
                )
            except NoConnectionError:
                self._counters.add("links_lost")
                await asyncio.sleep(RETRY_S * (0.5 + machine.random.random()))
                continue
            if not self._process.alive:
                connection.vanish()
            self._process.touch()
            machine.connection, self.connected = connection, machine.broker.name
            self._counters.add("links_made")
            try:
                await self._over.wait()
                self._counters.add("links_lost")
            finally:
                self.connected = ""
                if machine.connection is connection:
                    machine.connection = None
                    connection.close()
            await asyncio.sleep(RETRY_S * machine.random.random())

    def _broken(self, kind: str, why: str) -> None:
        del kind, why
        self._machine.connection = None
        self._over.set()

    def _take(self, message: network.Message) -> None:
        if self._process.alive and not self._process.asleep:
            self._offer(
                Delivery(
                    message.topic, message.payload, message.retained, self._machine.clock.wall_ns()
                )
            )
