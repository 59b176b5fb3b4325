"""The composition root: builds every part, runs them in one scope, stops them in order.

Before anything is opened, a nearly empty battery is waited for (:mod:`whimbrel_agent.power.task`).

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
from whimbrel_agent.energy.meter import EnergyMeter
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.intake.mqtt import MqttIntake
from whimbrel_agent.keyfile import read_key
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.logs import facts
from whimbrel_agent.platform import Platform, SystemPlatform
from whimbrel_agent.ports import Service
from whimbrel_agent.power.present import PresentPower
from whimbrel_agent.power.task import PowerTask
from whimbrel_agent.profiles.choosing import choose_profile
from whimbrel_agent.rules.opening import Rules, open_rules
from whimbrel_agent.sealing import SealingTask
from whimbrel_agent.status import Status
from whimbrel_agent.systemd import Notifier
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_agent.uplink.window import Window
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

STOP_TIMEOUT_S: Final = 20.0
"""An orderly stop ends by then, inside systemd's 30 s; what is durable is durable anyway."""

POWER_STOP_TIMEOUT_S: Final = 6.0
"""The same at a critical charge: with closing the link and the buffer it makes less than ten
seconds, which every battery has left that was not empty before."""

LAST_FLUSH_S: Final = 3.0
"""Of these, so long for what can still leave: a connected device needs one round trip to the
region, and one that has to connect first two or three more."""

_FLUSH_LOOK_S: Final = 0.1

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
    power: PresentPower
    services: list[Service] = field(default_factory=list)
    intakes: dict[str, Job] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    listening: dict[str, object] = field(default_factory=dict)


def run_agent(config: AgentConfig) -> str:
    """Run until SIGTERM or SIGINT, or until the battery is nearly empty.

    Returns:
        Why the charge stopped it; empty when it was told to stop.

    Raises:
        WhimbrelError: the agent cannot start, or its buffer broke; start it again.
    """
    spare_the_collector()
    return asyncio.run(_until_signalled(config))


async def _until_signalled(config: AgentConfig) -> str:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await serve(config, stop=stop)


async def serve(
    config: AgentConfig,
    *,
    stop: asyncio.Event,
    ready: Callable[[Parts], None] = lambda _: None,
    platform: Platform | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run until ``stop`` is set, or until the battery is nearly empty.

    Args:
        config: all settings.
        stop: set it for an orderly stop; it is set here when the charge asks for one.
        ready: called once intakes take events.
        platform: what it runs on; None means this machine.
        environment: where systemd's addresses are looked up; None means this process's own.

    Returns:
        Why the charge stopped it; empty when it was told to stop.

    Raises:
        WhimbrelError: the agent cannot start, or its buffer broke; start it again.
    """
    platform = SystemPlatform() if platform is None else platform
    key = read_key(config.device.key_file)
    notifier = Notifier(environment)
    power = PowerTask(platform.power_source(config.power), config.power.rules, platform.clock)
    if not await power.wait_for_charge(stop, notifier.waiting, tell_s=notifier.ping_s):
        return ""
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
                config, buffer, key=key, platform=platform, notifier=notifier, power=power
            )
            await agent.run(stop, ready)
        except* WhimbrelError as errors:
            raise _first_of(errors) from errors
        finally:
            await buffer.close()
    finally:
        await runner.close()
    return power.stopped_for


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
        power: PowerTask,
    ) -> None:
        self._config = config
        self._buffer = buffer
        self._key = key
        self._platform = platform
        self._clock = platform.clock
        self._random = platform.random
        self._notifier = notifier
        self._power = power
        self._intake = EventIntake(buffer, self._clock)
        self._started_wall_ns = self._clock.wall_ns()
        self._parts: Parts | None = None
        self._rules = Rules()
        self._meter = self._energy_meter()

    async def run(self, stop: asyncio.Event, ready: Callable[[Parts], None]) -> None:
        """Run every part until ``stop``; then stop them in order, within the deadline."""
        parts = self._parts = await self._build()
        self._power.on_stop(lambda _: stop.set())
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
            await self._rules.close()
        _log.info("stopped")

    async def _wind_down(self, parts: Parts, intakes: list[asyncio.Task[None]]) -> None:
        for intake in intakes:
            intake.cancel()
        timeout_s = POWER_STOP_TIMEOUT_S if self._power.stopped_for else STOP_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                for service in parts.services:
                    await service.stop()
                if intakes:
                    await asyncio.wait(intakes)
                await self._buffer.seal_all()
                if self._power.stopped_for:
                    await self._flush(parts)
        except TimeoutError:
            _log.warning("stopping took longer than %g s and was cut short", timeout_s)
        except BufferError as error:
            _log.warning("what is staged stays unsealed: %s", error)

    async def _flush(self, parts: Parts) -> None:
        """Let what can leave now leave, for a short while: the next start may be days away."""
        parts.uplink.frames_sealed()
        looks = round(LAST_FLUSH_S / _FLUSH_LOOK_S)
        for _ in range(looks):
            if not any(lane.ledger.pending for lane in (await self._buffer.stats()).lanes):
                return
            await asyncio.sleep(_FLUSH_LOOK_S)

    # ------------------------------------------------------------------ building

    async def _build(self) -> Parts:
        config = self._config
        addresses = frozenset([config.device.address, *await self._buffer.addresses()])
        uplink = self._uplink(addresses)
        sealing = SealingTask(self._buffer, self._clock, uplink.frames_sealed)
        parts = Parts(self._buffer, self._intake, uplink, sealing, self._power.present)
        parts.counters["http"] = self._intake.counters
        self._rules = await open_rules(config, self._buffer, self._platform)
        parts.jobs = {
            **self._rules.jobs(),
            "uplink": uplink.run,
            "sealing": sealing.run,
            "netwatch": lambda: self._platform.watch_network(uplink.network_returned),
            "watchdog": self._watchdog,
            "power": self._power.run,
        }
        if self._meter is not None:
            parts.jobs["energy"] = self._meter.run
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
        transport = self._platform.transport(config, addresses)
        session = Session(
            addresses=addresses,
            region_key=config.device.region_key,
            brokers=len(config.uplink.brokers),
            lanes={name: lane.order for name, lane in config.buffer.lanes.items()},
            window=Window(
                max_bytes=config.uplink.window_bytes, max_frames=config.uplink.window_frames
            ),
            random=self._random,
        )
        return Uplink(
            session=session,
            buffer=self._buffer,
            transport=transport if self._meter is None else self._meter.metered(transport),
            address=config.device.address,
            key=self._key,
            clock=self._clock,
            software=f"whimbrel-agent {__version__}",
        )

    def _energy_meter(self) -> EnergyMeter | None:
        config = self._config
        usage = self._platform.usage(config)
        if usage is None:
            return None
        chosen = choose_profile(config.device.profile, beside=config.file.parent)
        _log.info("profile %s", chosen.profile.name, extra=facts(why=chosen.reason))
        return EnergyMeter(
            chosen,
            usage,
            self._clock,
            keepalive_s=config.uplink.access.keepalive_s,
            commits=lambda: self._buffer.commits,
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
        sealed = parts.uplink.frames_sealed
        control = Control(self._buffer, self._intake, self._status, sealed, self._rules)
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
            **self._rules.figures(),
            power=self._power.figures(),
            energy=None if self._meter is None else self._meter.figures(),
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
