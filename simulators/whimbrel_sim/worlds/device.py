"""A device of the world: the shipped agent on a simulated machine."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from whimbrel_agent.app import serve
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import (
    AgentConfig,
    ControlConfig,
    DeviceConfig,
    FormerRegion,
)
from whimbrel_agent.localhttp.connection import Handler
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.parts import Parts
from whimbrel_agent.ports import (
    Delivery,
    Link,
    LinkFailure,
    Service,
    SqlRunner,
    Transport,
    TransportError,
)
from whimbrel_agent.power.reading import NoSource, PowerSource
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_protocol.keys import PrivateKey, PublicKey
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import down_filter

from . import network
from .broker import Connection, NoConnectionError, WorldBroker
from .clocks import AgentClock
from .machine import Machine, Process, WorldRunner
from .settings import agent_settings
from .timeline import Timeline

MAX_INBOX: Final = 512
"""As the shipped transport: more down messages are dropped and counted."""

KEY_NAME: Final = "device.key"

Ways = Sequence[tuple[network.Path, WorldBroker]]


def urls_of(ways: Ways) -> tuple[BrokerUrl, ...]:
    """Return the brokers' addresses as a configuration names them."""
    return tuple(BrokerUrl.parse(f"mqtt://{broker.name}") for _, broker in ways)


class Device(Machine):
    """A machine that runs an agent.

    Attributes:
        address: who it is.
        key: its private key, made from the seed.
        ways: its path and the broker, in the order of its configured list.
        former: key and ways of each region that it was moved out of, by name.
        parts: the running agent's parts; None while it does not run.
        settings: of the agent; what it is, where its files lie and its brokers are the world's.
    """

    def __init__(
        self,
        address: Address,
        key: PrivateKey,
        seed: bytes,
        root: Path,
        *,
        region_key: PublicKey,
        ways: Ways,
        clock: AgentClock,
        random: Random,
        timeline: Timeline,
        name: str = "",
        max_bytes: int = 1024 * 1024,
        settings: AgentConfig | None = None,
    ) -> None:
        super().__init__(
            name or f"{address.store}/{address.device}",
            root,
            clock=clock,
            random=random,
            timeline=timeline,
        )
        self.own_clock = clock
        self.address = address
        self.key = key
        self.seed = seed
        self.region_key = region_key
        self.ways = list(ways)
        self.former: dict[str, tuple[PublicKey, Ways]] = {}
        self.max_bytes = max_bytes
        self.settings = agent_settings({}) if settings is None else settings
        self.parts: Parts | None = None
        self.ready = asyncio.Event()
        self.connections: list[Connection] = []
        self.key_file = root / KEY_NAME
        self.key_file.touch(mode=0o600)
        self.key_file.write_bytes(base64.b64encode(seed) + b"\n")

    @property
    def buffer_path(self) -> Path:
        """The buffer's file, where it lies now."""
        return self.folder / "buffer.db"

    def config(self) -> AgentConfig:
        """Return the agent's settings for its next start."""
        settings = self.settings
        return replace(
            settings,
            file=self.root / "agent.toml",
            device=DeviceConfig(
                address=self.address, key_file=self.key_file, region_key=self.region_key
            ),
            buffer=replace(settings.buffer, path=self.buffer_path, max_bytes=self.max_bytes),
            uplink=replace(settings.uplink, brokers=urls_of(self.ways)),
            control=ControlConfig(socket=self.folder / "control.sock"),
            former_regions=tuple(
                FormerRegion(region=name, region_key=key, brokers=urls_of(ways))
                for name, (key, ways) in self.former.items()
                if name != self.address.region
            ),
        )

    def ways_to(self, region: str) -> Ways:
        """Return the ways to a region's brokers."""
        return self.ways if region == self.address.region else self.former[region][1]

    async def main(self, process: Process) -> None:
        """Run the agent."""
        try:
            await serve(
                self.config(),
                stop=process.stop,
                ready=lambda parts: self._is_ready(process, parts),
                platform=DevicePlatform(self, process),
                environment={},
            )
        finally:
            if self.process in (process, None):
                self.parts = None

    def _is_ready(self, process: Process, parts: Parts) -> None:
        if process.alive:
            self.parts = parts
            self.timeline.tell(self.name, "ready", epoch=parts.buffer.epoch)
            self.ready.set()
            self.ready = asyncio.Event()

    def left(self) -> None:
        """The process is gone: so are its connections."""
        self.parts = None
        for path, _ in self.ways:
            path.told = network.nobody
        connections, self.connections = self.connections, []
        for connection in connections:
            connection.vanish()


class DevicePlatform:
    """The agent's platform in a world."""

    def __init__(self, device: Device, process: Process) -> None:
        self._device = device
        self._process = process
        self.clock = device.own_clock
        self.random = device.random

    def sql_runner(self) -> SqlRunner:
        """Run work in the caller."""
        return WorldRunner(self._process)

    def transport(self, config: AgentConfig, addresses: Collection[Address]) -> Transport:
        """Return the way to the world's brokers."""
        filters = sorted({down_filter(one) for one in addresses})
        region = config.device.address.region
        return WorldTransport(self._device, self._process, filters, region)

    def service(
        self,
        handler: Handler,
        limits: HttpLimits,
        *,
        name: str,
        host: str | None = None,
        port: int = 0,
        socket_path: Path | None = None,
    ) -> Service:
        """Return a service that nobody reaches by a socket."""
        del handler, limits, name, host, port, socket_path
        return _Unreached()

    async def watch_network(self, returned: Callable[[], None]) -> None:
        """Tell when a fault's end says that the kernel would; else the agent's retries find it."""
        for path, _ in self._device.ways:
            path.told = returned
        await asyncio.Event().wait()

    def power_source(self, config: PowerConfig) -> PowerSource:
        """No battery is in a world's device: it is on mains, or without any power."""
        del config
        return NoSource()

    def usage(self, config: AgentConfig) -> None:
        """Count nothing: the kernel's counters are of the whole world's process."""
        del config


class _Unreached:
    """A local service without a socket."""

    port: int | None = None

    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        pass


class WorldTransport:
    """The agent's transport port over the world's network."""

    def __init__(
        self, device: Device, process: Process, filters: Sequence[str], region: str = ""
    ) -> None:
        self._device = device
        self._process = process
        self._filters = filters
        self._region = region or device.address.region
        suffix = f"{device.random.getrandbits(32):08x}"
        self.client_id = f"{device.name}-{suffix}"

    def use_keepalive(self, keepalive_s: int) -> None:
        """Change nothing: a world's links need no keep-alive to notice their end."""

    async def connect(self, broker: int) -> Link:
        """Connect to one of the configured brokers.

        Raises:
            TransportError: with its failure class.
        """
        self._process.touch()
        path, server = self._device.ways_to(self._region)[broker]
        link = WorldLink(self._process, server.name)
        try:
            connection = await server.connect(
                self.client_id, path, self._filters, link.take, link.broken
            )
        except NoConnectionError as error:
            raise TransportError(LinkFailure[error.kind], str(error)) from error
        if not self._process.alive:
            connection.vanish()
        self._device.connections.append(connection)
        link.attach(connection, self._device.connections)
        self._process.touch()
        return link


class WorldLink:
    """One live connection of an agent."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name
        self._connection: Connection | None = None
        self._siblings: list[Connection] = []
        self.interface = ""
        self._inbox: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        self._error: TransportError | None = None
        self.dropped = 0

    def attach(self, connection: Connection, siblings: list[Connection]) -> None:
        """Name the connection, once it is made."""
        self._connection = connection
        self._siblings = siblings

    def take(self, message: network.Message) -> None:
        """Queue what came in."""
        if len(self._inbox) >= MAX_INBOX:
            self.dropped += 1
            return
        self._inbox.append(Delivery(message.topic, message.payload, message.retained))
        self._changed.set()

    def broken(self, kind: str, why: str) -> None:
        """Note that the connection is over."""
        self._error = TransportError(LinkFailure[kind], f"{self._name}: {why}")
        self._forget()
        self._changed.set()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send one message; raises TransportError when the link is gone."""
        self._process.touch()
        if self._error is not None:
            raise self._error
        if self._connection is not None:
            self._connection.publish(topic, payload)
        self._process.touch()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield what comes in; raises TransportError when the link broke."""
        while True:
            while self._inbox:
                self._process.touch()
                yield self._inbox.popleft()
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """End it in an orderly way."""
        self._process.touch()
        if self._connection is not None:
            self._connection.close()
        self._forget()
        if self._error is None:
            self._error = TransportError(LinkFailure.REFUSED, f"{self._name}: was closed")
        self._changed.set()

    def _forget(self) -> None:
        if self._connection in self._siblings:
            self._siblings.remove(self._connection)
