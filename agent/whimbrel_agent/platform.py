"""What an agent stands on: clocks, chance, a database thread, a network, local sockets, power.

The composition root builds everything else from this; simulated worlds and fleets of many
agents in one process bring a platform of their own.
"""

from __future__ import annotations

import random as chance
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.energy.usage import KernelUsage, Usage
from whimbrel_agent.localhttp.connection import Handler
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.service import LocalService
from whimbrel_agent.netwatch import watch_network
from whimbrel_agent.ports import Clock, Random, Service, SqlRunner, Transport
from whimbrel_agent.power.choice import find_source
from whimbrel_agent.power.reading import PowerSource
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_agent.uplink.mqtt import MqttTransport
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import down_filter

__all__ = ["Platform", "SystemPlatform"]


class Platform(Protocol):
    """Gives the composition root its ports."""

    @property
    def clock(self) -> Clock:
        """The device's clocks."""
        ...

    @property
    def random(self) -> Random:
        """The process's chance."""
        ...

    def sql_runner(self) -> SqlRunner:
        """Return where the buffer's blocking work runs."""
        ...

    def transport(self, config: AgentConfig, addresses: Collection[Address]) -> Transport:
        """Return the way to the brokers, listening for all of ``addresses``."""
        ...

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
        """Return a local service that listens already; see :class:`LocalService`."""
        ...

    async def watch_network(self, returned: Callable[[], None]) -> None:
        """Call ``returned`` whenever the machine gets a network, until cancelled."""
        ...

    def power_source(self, config: PowerConfig) -> PowerSource:
        """Return where the power supply is read."""
        ...

    def usage(self, config: AgentConfig) -> Usage | None:
        """Return the kernel's counters of this process; None: energy and wear are not counted."""
        ...


class SystemPlatform:
    """This machine."""

    def __init__(self, clock: Clock | None = None, random: Random | None = None) -> None:
        self.clock = SystemClock() if clock is None else clock
        self.random = chance.SystemRandom() if random is None else random

    def sql_runner(self) -> SqlRunner:
        """Return a thread of its own."""
        return ThreadRunner()

    def transport(self, config: AgentConfig, addresses: Collection[Address]) -> Transport:
        """Return MQTT to the configured brokers, listening for all of ``addresses``."""
        return MqttTransport(
            config.uplink.brokers,
            config.uplink.access,
            config.device.address,
            self.random,
            filters=sorted({down_filter(one) for one in addresses}),
        )

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
        """Listen on loopback or a Unix socket; see :class:`LocalService`."""
        return LocalService(
            handler, limits, name=name, host=host, port=port, socket_path=socket_path
        )

    async def watch_network(self, returned: Callable[[], None]) -> None:
        """Listen to the kernel."""
        await watch_network(returned)

    def power_source(self, config: PowerConfig) -> PowerSource:
        """Return what the configuration names, else what is found."""
        return find_source(config)

    def usage(self, config: AgentConfig) -> Usage | None:
        """Return the kernel's counters, with those of the disk that the buffer lies on."""
        return KernelUsage(config.buffer.path.parent)
