"""The composition root: builds every part, runs them in one scope, stops them in order.

Order of a stop: intakes finish their answers, what is staged is sealed, the uplink lets go of
its link, the buffer is checkpointed and closed. What did not leave stays for the next start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from whimbrel_agent import __version__
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferError  # noqa: A004  ours
from whimbrel_agent.collector import spare_the_collector
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.control import CONTROL_LIMITS, Control
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.intake.mqtt import MqttIntake
from whimbrel_agent.keyfile import read_key
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.logs import facts
from whimbrel_agent.platform import Platform, SystemPlatform
from whimbrel_agent.ports import Service
from whimbrel_agent.sealing import SealingTask
from whimbrel_agent.status import Status
from whimbrel_agent.systemd import Notifier
from whimbrel_agent.uplink.budgetfile import BudgetFile
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

STOP_TIMEOUT_S: Final = 20.0
"""An orderly stop ends by then, inside systemd's 30 s; what is durable is durable anyway."""

BUDGETS_NAME: Final = "budgets"
"""Beside the buffer: what was sent this month on metered links."""

_STATM: Final = Path("/proc/self/statm")

_log = logging.getLogger(__name__)

Job = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Parts:
    """Everything that runs, by its role."""

    buffer: Buffer
    intake: EventIntake
    uplink: Uplink
    sealing: SealingTask
    services: list[Service] = field(default_factory=list)
    intakes: dict[str, Job] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    listening: dict[str, object] = field(default_factory=dict)


def run_agent(config: AgentConfig) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        WhimbrelError: the agent cannot start, or its buffer broke; start it again.
    """
    spare_the_collector()
    asyncio.run(_until_signalled(config))


async def _until_signalled(config: AgentConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop=stop)


async def serve(
    config: AgentConfig,
    *,
    stop: asyncio.Event,
    ready: Callable[[Parts], None] = lambda _: None,
    platform: Platform | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run until ``stop`` is set.

    Args:
        config: all settings.
        stop: set it for an orderly stop.
        ready: called once intakes take events.
        platform: what it runs on; None means this machine.
        environment: where systemd's addresses are looked up; None means this process's own.

    Raises:
        WhimbrelError: the agent cannot start, or its buffer broke; start it again.
    """
    platform = SystemPlatform() if platform is None else platform
    key = read_key(config.device.key_file)
    runner = platform.sql_runner()
    try:
        buffer = await Buffer.open(
            config.buffer,
            config.device.address,
            key,
            clock=platform.clock,
            random=platform.random,
            runner=runner,
        )
        try:
            agent = _Agent(
                config, buffer, key=key, platform=platform, notifier=Notifier(environment)
            )
            await agent.run(stop, ready)
        except* WhimbrelError as errors:
            raise _first_of(errors) from errors
        finally:
            await buffer.close()
    finally:
        await runner.close()


class _Agent:
    """The parts around one open buffer."""

    def __init__(
        self,
        config: AgentConfig,
        buffer: Buffer,
        *,
        key: PrivateKey,
        platform: Platform,
        notifier: Notifier,
    ) -> None:
        self._config = config
        self._buffer = buffer
        self._key = key
        self._platform = platform
        self._clock = platform.clock
        self._random = platform.random
        self._notifier = notifier
        self._intake = EventIntake(buffer, self._clock)
        self._started_wall_ns = self._clock.wall_ns()
        self._parts: Parts | None = None

    async def run(self, stop: asyncio.Event, ready: Callable[[Parts], None]) -> None:
        """Run every part until ``stop``; then stop them in order, within the deadline."""
        parts = self._parts = await self._build()
        try:
            async with asyncio.TaskGroup() as group:
                for service in parts.services:
                    group.create_task(service.run(), name="service")
                intakes = [group.create_task(job(), name=n) for n, job in parts.intakes.items()]
                tasks = [group.create_task(job(), name=n) for n, job in parts.jobs.items()]
                _log.info("ready", extra=facts(**parts.listening))
                self._notifier.ready("ready")
                ready(parts)
                await stop.wait()
                self._notifier.stopping()
                _log.info("stopping")
                await self._wind_down(parts, intakes)
                for task in tasks:
                    task.cancel()
        finally:
            for service in parts.services:
                service.close()
        _log.info("stopped")

    async def _wind_down(self, parts: Parts, intakes: list[asyncio.Task[None]]) -> None:
        for intake in intakes:
            intake.cancel()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                for service in parts.services:
                    await service.stop()
                if intakes:
                    await asyncio.wait(intakes)
                await self._buffer.seal_all()
        except TimeoutError:
            _log.warning("stopping took longer than %g s and was cut short", STOP_TIMEOUT_S)
        except BufferError as error:
            _log.warning("what is staged stays unsealed: %s", error)

    # ------------------------------------------------------------------ building

    async def _build(self) -> Parts:
        config = self._config
        addresses = frozenset([config.device.address, *await self._buffer.addresses()])
        uplink = self._uplink(addresses)
        sealing = SealingTask(self._buffer, self._clock, uplink.frames_sealed)
        parts = Parts(self._buffer, self._intake, uplink, sealing)
        parts.counters["http"] = self._intake.counters
        parts.jobs = {
            "uplink": uplink.run,
            "sealing": sealing.run,
            "netwatch": lambda: self._platform.watch_network(uplink.network_returned),
            "watchdog": self._watchdog,
        }
        self._add_intakes(parts)
        try:
            self._add_services(parts)
        except BaseException:
            for service in parts.services:
                service.close()
            raise
        parts.listening |= {
            "address": str(config.device.address),
            "key_id": self._key.public.key_id.hex(),
            "epoch": self._buffer.epoch,
            "pid": os.getpid(),
        }
        return parts

    def _uplink(self, addresses: frozenset[Address]) -> Uplink:
        config = self._config
        budgets = None
        if any(rules.monthly_bytes for rules in config.uplink.links):
            budgets = BudgetFile(config.buffer.path.with_name(BUDGETS_NAME))
        session = Session(
            addresses=addresses,
            region_key=config.device.region_key,
            brokers=len(config.uplink.brokers),
            lanes={name: lane.order for name, lane in config.buffer.lanes.items()},
            window=Window(
                max_bytes=config.uplink.window_bytes,
                max_frames=config.uplink.window_frames,
                classes=config.uplink.links,
                spent=budgets.before if budgets else None,
            ),
            random=self._random,
        )
        return Uplink(
            session=session,
            buffer=self._buffer,
            transport=self._platform.transport(config, addresses),
            address=config.device.address,
            key=self._key,
            clock=self._clock,
            software=f"whimbrel-agent {__version__}",
            budgets=budgets,
        )

    def _add_intakes(self, parts: Parts) -> None:
        config = self._config
        address = config.device.address
        if config.mqtt is not None:
            topics = MqttIntake(
                config.mqtt, self._buffer, address, clock=self._clock, random=self._random
            )
            parts.intakes["intake.mqtt"] = topics.run
            parts.counters["mqtt"] = topics.counters
        if config.machine is not None:
            from whimbrel_agent.intake.metrics import MachineIntake  # noqa: PLC0415  psutil's memory

            machine = MachineIntake(
                config.machine,
                self._buffer,
                address,
                folder=config.buffer.path.parent,
                clock=self._clock,
            )
            parts.intakes["intake.machine"] = machine.run
            parts.counters["machine"] = machine.counters

    def _add_services(self, parts: Parts) -> None:
        control = Control(self._buffer, self._intake, self._status, parts.uplink.frames_sealed)
        socket_path = self._config.control.socket
        parts.services.append(
            self._platform.service(
                control.handle, CONTROL_LIMITS, name="control", socket_path=socket_path
            )
        )
        parts.listening["control"] = str(socket_path)
        http = self._config.http
        if http is not None:
            limits = HttpLimits(
                max_connections=http.max_connections, max_body_bytes=http.max_body_bytes
            )
            service = self._platform.service(
                self._intake.handle,
                limits,
                name="intake.http",
                host=http.host,
                port=http.port,
                socket_path=http.socket,
            )
            parts.services.append(service)
            parts.listening |= {"http_port": service.port, "http_socket": http.socket}

    # ------------------------------------------------------------------ being watched

    async def _watchdog(self) -> None:
        ping_s = self._notifier.ping_s
        while ping_s is not None:
            await self._buffer.newest_ids()  # a database thread that hangs must not look alive
            assert self._parts is not None
            self._notifier.alive(self._parts.uplink.figures().doing)
            await asyncio.sleep(ping_s)

    async def _status(self) -> Status:
        assert self._parts is not None
        return Status(
            version=__version__,
            pid=os.getpid(),
            address=self._config.device.address,
            key_id=self._key.public.key_id,
            started_wall_ns=self._started_wall_ns,
            wall_ns=self._clock.wall_ns(),
            clock=self._clock.quality(),
            memory_bytes=resident_bytes(),
            buffer=await self._buffer.stats(),
            brokers=tuple(str(url) for url in self._config.uplink.brokers),
            uplink=self._parts.uplink.figures(),
            intakes={name: dict(counters) for name, counters in self._parts.counters.items()},
        )


def resident_bytes() -> int:
    """Return this process's resident memory, from proc(5)'s statm."""
    pages = int(_STATM.read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _first_of(errors: BaseExceptionGroup[WhimbrelError]) -> WhimbrelError:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first_of(error)
        return error
    raise AssertionError
