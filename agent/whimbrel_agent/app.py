"""The composition root: builds every part, runs them in one scope, stops them in order.

Before anything is opened, a nearly empty battery is waited for (:mod:`whimbrel_agent.power.task`).

Order of a stop: intakes finish their answers, what is staged is sealed, the uplink lets go of
its link, the buffer is checkpointed and closed. What did not leave stays for the next start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from typing import Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferError  # noqa: A004  ours
from whimbrel_agent.building import Builder
from whimbrel_agent.collector import spare_the_collector
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.keyfile import read_key
from whimbrel_agent.logs import facts
from whimbrel_agent.parts import Parts
from whimbrel_agent.platform import Platform, SystemPlatform
from whimbrel_agent.power.task import PowerTask
from whimbrel_agent.systemd import Notifier
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.keys import PrivateKey

STOP_TIMEOUT_S: Final = 20.0
"""An orderly stop ends by then, inside systemd's 30 s; what is durable is durable anyway."""

POWER_STOP_TIMEOUT_S: Final = 6.0
"""The same at a critical charge: with closing the link and the buffer it makes less than ten
seconds, which every battery has left that was not empty before."""

LAST_FLUSH_S: Final = 3.0
"""Of these, so long for what can still leave: a connected device needs one round trip to the
region, and one that has to connect first two or three more."""

_FLUSH_LOOK_S: Final = 0.1

_log = logging.getLogger(__name__)


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
    source = platform.power_source(config.power)
    power = PowerTask(source, config.power.rules, platform.clock, config.power.modes)
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
        self._buffer = buffer
        self._notifier = notifier
        self._power = power
        self._builder = Builder(
            config, buffer, key=key, platform=platform, notifier=notifier, power=power
        )

    async def run(self, stop: asyncio.Event, ready: Callable[[Parts], None]) -> None:
        """Run every part until ``stop``; then stop them in order, within the deadline."""
        parts = await self._builder.build()
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
            await parts.close()
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
        parts.uplink.frames_sealed(urgent=True)
        looks = round(LAST_FLUSH_S / _FLUSH_LOOK_S)
        for _ in range(looks):
            if not any(lane.ledger.pending for lane in (await self._buffer.stats()).lanes):
                return
            await asyncio.sleep(_FLUSH_LOOK_S)


def _first_of(errors: BaseExceptionGroup[WhimbrelError]) -> WhimbrelError:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first_of(error)
        return error
    raise AssertionError
