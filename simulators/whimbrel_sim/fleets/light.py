"""Many agents in one process: the shipped composition root on a platform of its own.

Each agent has its own buffer file, key, configuration and MQTT connection. What agents in one
process share is the clock, chance, and a few database threads; each agent's work stays in one
thread, in the order in which it was handed in. Local sockets there are none.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random as chance
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar

from whimbrel_agent.app import serve
from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import (
    BufferBrokenError,
    BufferFullError,
    TooManyWaitingError,
)
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.intake.idempotency import keys_of
from whimbrel_agent.localhttp.connection import Handler
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.parts import Parts
from whimbrel_agent.ports import Clock, Random, Service, SqlRunner, Transport
from whimbrel_agent.power.reading import NoSource, PowerSource
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_agent.uplink.figures import LinkState, ResumeState
from whimbrel_agent.uplink.mqtt import MqttTransport
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.event import Event
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import down_filter

from .figures import Figures
from .ledgerfile import PlaceRun
from .sender import NotYetError

THREADS: Final = 4
"""Database threads of a process: a sync of one buffer must not hold up all the others."""

RESTART_S: Final = 1.0
"""An agent that ended with an error is started again after this, as systemd would."""

T = TypeVar("T")

_log = logging.getLogger("whimbrel.fleet")


class LightPlatform:
    """What agents of one process stand on."""

    def __init__(self, *, threads: int = THREADS) -> None:
        self.clock: Clock = SystemClock()
        self.random: Random = chance.SystemRandom()
        self._runners = [ThreadRunner(f"buffers-{number}") for number in range(threads)]
        self._turns = itertools.cycle(self._runners)

    def sql_runner(self) -> SqlRunner:
        """Return a place in one of the threads."""
        return _SharedRunner(next(self._turns))

    def transport(self, config: AgentConfig, addresses: Collection[Address]) -> Transport:
        """Return MQTT, as the shipped agent has it."""
        return MqttTransport(
            config.uplink.brokers,
            config.uplink.access,
            config.device.address,
            self.random,
            filters=sorted({down_filter(one) for one in addresses}),
        )

    def service(
        self,
        handler: Handler,  # noqa: ARG002  nobody calls
        limits: HttpLimits,  # noqa: ARG002
        *,
        name: str,  # noqa: ARG002
        host: str | None = None,  # noqa: ARG002
        port: int = 0,  # noqa: ARG002
        socket_path: Path | None = None,  # noqa: ARG002
    ) -> Service:
        """Return a service that listens nowhere."""
        return _NoService()

    async def watch_network(self, returned: Callable[[], None]) -> None:  # noqa: ARG002
        """Watch nothing: an agent's own retries find the network."""
        await asyncio.Event().wait()

    def power_source(self, config: PowerConfig) -> PowerSource:  # noqa: ARG002
        """Return none: this machine's own battery is not theirs."""
        return NoSource()

    def usage(self, config: AgentConfig) -> None:  # noqa: ARG002
        """Count nothing: the process is shared by many agents."""
        return

    async def close(self) -> None:
        """End the threads; no agent may run any more."""
        for runner in self._runners:
            await runner.close()


class _SharedRunner:
    """A place in a thread that others use too."""

    def __init__(self, runner: ThreadRunner) -> None:
        self._runner = runner

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` after all work handed in before it."""
        return await self._runner.run(work)

    async def close(self) -> None:
        """Finish what was handed in; the thread goes on for the others."""
        await self._runner.run(lambda: None)


class _NoService:
    """Listens nowhere."""

    port: int | None = None

    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Wait to be stopped."""
        await self._stopped.wait()

    async def stop(self) -> None:
        """Let ``run`` return."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing to let go of."""


class LightAgent:
    """One agent, started again when it ends by itself. An outlet for its sender.

    Attributes:
        restarts: how often it was started again.
    """

    def __init__(self, config: AgentConfig, platform: LightPlatform) -> None:
        self.restarts = 0
        self._config = config
        self._platform = platform
        self._parts: Parts | None = None
        self._last = Figures(agents=1)

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Run until ``stop``; ``started`` is called once it is up, or was seen to fail."""

        def ready(parts: Parts) -> None:
            self._parts = parts
            started()

        while not stop.is_set():
            try:
                await serve(
                    self._config, stop=stop, ready=ready, platform=self._platform, environment={}
                )
            except WhimbrelError as error:
                self.restarts += 1
                _log.warning("agent %s ended: %s", self._config.device.address, error)
                await asyncio.sleep(RESTART_S)
            finally:
                self._parts = None
                started()

    async def deliver(self, events: Sequence[Event]) -> list[PlaceRun]:
        """Hand a group to the buffer. Raises NotYetError."""
        if self._parts is None:
            raise NotYetError
        buffer: Buffer = self._parts.buffer
        try:
            places = await buffer.accept(
                events, keys=keys_of(events), fingerprints=[0] * len(events)
            )
        except (BufferFullError, TooManyWaitingError, BufferBrokenError) as error:
            raise NotYetError from error
        return [PlaceRun(run.epoch, run.lane, run.first, run.events) for run in places.runs]

    async def figures(self) -> Figures:
        """Ask it how it stands; its last word while it is away."""
        parts = self._parts
        if parts is not None:
            lanes = (await parts.buffer.stats()).lanes
            uplink = parts.uplink.figures()
            counts = Counter(uplink.counts)
            is_up = uplink.link is LinkState.UP
            self._last = Figures(
                agents=1,
                up=int(is_up),
                resumed=int(is_up and uplink.resume is ResumeState.DONE),
                accepted=sum(lane.ledger.accepted for lane in lanes),
                delivered=sum(lane.ledger.delivered for lane in lanes),
                backlog=sum(lane.ledger.pending for lane in lanes),
                dropped=sum(sum(lane.ledger.gapped.values()) for lane in lanes),
                bytes_sent=counts["bytes_sent"],
                frames_sent=counts["frames_sent"],
                frames_resent=counts["frames_resent"],
                receipts=counts["receipts"],
                links_lost=counts["links_lost"],
                restarts=self.restarts,
            )
        return self._last
