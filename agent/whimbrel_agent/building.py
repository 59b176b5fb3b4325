"""Puts an agent's parts together around its open buffer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from whimbrel_agent import __version__
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.config import AgentConfig, FormerRegion
from whimbrel_agent.control import CONTROL_LIMITS, Control
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.energy.meter import EnergyMeter
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.intake.mqtt import MqttIntake
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.logs import facts
from whimbrel_agent.pacing import pace
from whimbrel_agent.parts import Parts
from whimbrel_agent.platform import Platform
from whimbrel_agent.power.modes import Mode, ModeSettings
from whimbrel_agent.power.task import PowerTask
from whimbrel_agent.profiles.choosing import choose_profile
from whimbrel_agent.reporting import Reporter
from whimbrel_agent.rules.opening import open_rules
from whimbrel_agent.sealing import SealingTask
from whimbrel_agent.systemd import Notifier
from whimbrel_agent.uplink.budgetfile import BUDGETS_NAME, BudgetFile
from whimbrel_agent.uplink.former import FormerRegions
from whimbrel_agent.uplink.limits import LinkRules
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_agent.uplink.window import Charged, Window
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.names import Address

_log = logging.getLogger(__name__)


class Builder:
    """Builds the parts of one agent.

    Args:
        config: all settings.
        buffer: open.
        key: the device's.
        platform: what it runs on.
        notifier: tells the service manager.
        power: looks after the supply.
    """

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
        self._notifier = notifier
        self._power = power
        self._budgets: BudgetFile | None = None
        if any(rules.monthly_bytes for rules in config.uplink.links):
            self._budgets = BudgetFile(config.buffer.path.with_name(BUDGETS_NAME))
        self._charged: Charged | None = None
        self._journal = power.journal

    async def build(self) -> Parts:
        """Return all parts; none of them runs yet, and services listen."""
        config, buffer, power = self._config, self._buffer, self._power
        meter = self._energy_meter()
        addresses = frozenset([config.device.address, *await buffer.addresses()])
        uplink = self._uplink(addresses, meter)
        former = FormerRegions(buffer, self._former_makers(meter))
        sealing = SealingTask(buffer, self._platform.clock, uplink, self._journal)
        intake = EventIntake(buffer, self._platform.clock)
        rules = await open_rules(config, buffer, self._platform)
        parts = Parts(buffer, intake, uplink, former, sealing, power.present, rules, meter)
        reporter = Reporter(config, self._key.public, parts, power, self._platform.clock)
        try:
            self._add_intakes(parts)
            self._add_services(parts, reporter)
        except BaseException:
            await parts.close()
            raise
        self._add_jobs(parts, reporter)
        buffer.note_in(self._journal)
        keepalive_s = config.uplink.access.keepalive_s
        metered = self._budgets is not None

        def paced(_mode: Mode, settings: ModeSettings, _reason: str) -> None:
            pace(parts, settings, keepalive_s=keepalive_s, metered=metered)

        present = power.present
        present.on_mode(paced)
        paced(present.mode, present.settings, present.reason)
        parts.listening |= {
            "address": str(config.device.address),
            "key_id": self._key.public.key_id.hex(),
            "epoch": buffer.epoch,
            "pid": os.getpid(),
        }
        return parts

    def _add_jobs(self, parts: Parts, reporter: Reporter) -> None:
        def returned() -> None:
            parts.uplink.network_returned()
            parts.former.network_returned()

        parts.jobs = {
            **parts.rules.jobs(),
            "uplink": parts.uplink.run,
            "former": parts.former.run,
            "sealing": parts.sealing.run,
            "netwatch": lambda: self._platform.watch_network(returned),
            "watchdog": lambda: reporter.keep_alive(self._notifier),
            "power": self._power.run,
        }
        if parts.meter is not None:
            parts.jobs["energy"] = parts.meter.run

    def _uplink(self, addresses: frozenset[Address], meter: EnergyMeter | None) -> Uplink:
        config = self._config
        window = self._window(config.uplink.links, None, self._journal)
        self._charged = window.charged
        return self._uplink_to(config, addresses, window, meter, journal=self._journal)

    def _former_makers(self, meter: EnergyMeter | None) -> dict[str, Callable[[Address], Uplink]]:
        return {
            region.region: partial(self._former_uplink, region, meter)
            for region in self._config.former_regions
        }

    def _former_uplink(
        self, region: FormerRegion, meter: EnergyMeter | None, address: Address
    ) -> Uplink:
        """Make the uplink to a region that was left, for one of our addresses there."""
        here = self._config
        config = replace(
            here,
            device=replace(here.device, address=address, region_key=region.region_key),
            uplink=replace(here.uplink, brokers=region.brokers, access=region.access),
        )
        # classes by broker are about the brokers of the present region
        links = tuple(one for one in here.uplink.links if not one.brokers)
        # decisions of its own: what the present uplink did last is what people ask about
        window = self._window(links, self._charged, None)
        return self._uplink_to(config, frozenset([address]), window, meter, former=True)

    def _window(
        self,
        links: tuple[LinkRules, ...],
        charged: Charged | None,
        journal: DecisionJournal | None,
    ) -> Window:
        return Window(
            max_bytes=self._config.uplink.window_bytes,
            max_frames=self._config.uplink.window_frames,
            classes=links,
            spent=self._budgets.before if self._budgets else None,
            charged=charged,
            journal=journal,
        )

    def _uplink_to(
        self,
        config: AgentConfig,
        addresses: frozenset[Address],
        window: Window,
        meter: EnergyMeter | None,
        *,
        former: bool = False,
        journal: DecisionJournal | None = None,
    ) -> Uplink:
        transport = self._platform.transport(config, addresses)
        session = Session(
            addresses=addresses,
            region_key=config.device.region_key,
            brokers=len(config.uplink.brokers),
            lanes={name: lane.order for name, lane in config.buffer.lanes.items()},
            window=window,
            random=self._platform.random,
            shares={name: lane.share for name, lane in config.buffer.lanes.items()},
            journal=journal,
        )
        return Uplink(
            session=session,
            buffer=self._buffer,
            transport=transport if meter is None else meter.metered(transport),
            address=config.device.address,
            key=self._key,
            clock=self._platform.clock,
            software=f"whimbrel-agent {__version__}",
            budgets=self._budgets,
            former=former,
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
            self._platform.clock,
            keepalive_s=config.uplink.access.keepalive_s,
            commits=lambda: self._buffer.commits,
        )

    def _add_intakes(self, parts: Parts) -> None:
        config = self._config
        address = config.device.address
        if config.mqtt is not None:
            topics = MqttIntake(
                config.mqtt,
                self._buffer,
                address,
                clock=self._platform.clock,
                random=self._platform.random,
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
                clock=self._platform.clock,
            )
            parts.machine = machine
            parts.intakes["intake.machine"] = machine.run
            parts.counters["machine"] = machine.counters

    def _add_services(self, parts: Parts, reporter: Reporter) -> None:
        sealed = partial(parts.uplink.frames_sealed, urgent=True)  # an operator waits for it
        parts.counters["http"] = parts.intake.counters
        control = Control(
            self._buffer,
            parts.intake,
            reporter.status,
            sealed,
            parts.rules,
            explain=reporter.explanation,
        )
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
                parts.intake.handle,
                limits,
                name="intake.http",
                host=http.host,
                port=http.port,
                socket_path=http.socket,
            )
            parts.services.append(service)
            parts.listening |= {"http_port": service.port, "http_socket": http.socket}
