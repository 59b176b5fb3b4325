"""Everything that runs in an agent, by its role."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.energy.meter import EnergyMeter
from whimbrel_agent.intake.http import EventIntake
from whimbrel_agent.ports import Service
from whimbrel_agent.power.present import PresentPower
from whimbrel_agent.rules.opening import Rules
from whimbrel_agent.sealing import SealingTask
from whimbrel_agent.uplink.former import FormerRegions
from whimbrel_agent.uplink.shell import Uplink

if TYPE_CHECKING:
    from whimbrel_agent.intake.metrics import MachineIntake  # brings psutil, which few need

Job = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Parts:
    """The parts around one open buffer.

    Attributes:
        services: what listens.
        intakes: what brings events by itself; ended first.
        jobs: everything else that runs, by name.
        counters: of the intakes.
        listening: where, for the log.
    """

    buffer: Buffer
    intake: EventIntake
    uplink: Uplink
    former: FormerRegions
    sealing: SealingTask
    power: PresentPower
    rules: Rules
    meter: EnergyMeter | None = None
    machine: MachineIntake | None = None
    services: list[Service] = field(default_factory=list)
    intakes: dict[str, Job] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    counters: dict[str, Mapping[str, int]] = field(default_factory=dict)
    listening: dict[str, object] = field(default_factory=dict)

    async def close(self) -> None:
        """Let go of what was opened for them."""
        for service in self.services:
            service.close()
        await self.rules.close()
