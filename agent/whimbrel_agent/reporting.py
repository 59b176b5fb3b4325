"""What an agent says of itself: its figures, and that it is alive."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from whimbrel_agent import __version__
from whimbrel_agent.config import AgentConfig
from whimbrel_agent.decisions.explanation import Explanation
from whimbrel_agent.parts import Parts
from whimbrel_agent.ports import Clock
from whimbrel_agent.power.task import PowerTask
from whimbrel_agent.status import Status
from whimbrel_agent.systemd import Notifier
from whimbrel_protocol.keys import PublicKey

_STATM: Final = Path("/proc/self/statm")


class Reporter:
    """Collects the figures of a running agent."""

    def __init__(
        self, config: AgentConfig, key: PublicKey, parts: Parts, power: PowerTask, clock: Clock
    ) -> None:
        self._config = config
        self._key = key
        self._parts = parts
        self._power = power
        self._clock = clock
        self._started_wall_ns = clock.wall_ns()

    async def keep_alive(self, notifier: Notifier) -> None:
        """Tell the service manager that the agent lives, as often as it asks for."""
        ping_s = notifier.ping_s
        while ping_s is not None:
            # a database thread that hangs must not look alive
            await self._parts.buffer.newest_ids()
            notifier.alive(self._parts.uplink.figures().doing)
            await asyncio.sleep(ping_s)

    async def status(self) -> Status:
        """Return the figures of now."""
        parts = self._parts
        return Status(
            version=__version__,
            pid=os.getpid(),
            address=self._config.device.address,
            key_id=self._key.key_id,
            started_wall_ns=self._started_wall_ns,
            wall_ns=self._clock.wall_ns(),
            clock=self._clock.quality(),
            memory_bytes=resident_bytes(),
            buffer=await parts.buffer.stats(),
            brokers=tuple(str(url) for url in self._config.uplink.brokers),
            uplink=parts.uplink.figures(),
            former=await parts.former.figures(),
            intakes={name: dict(counters) for name, counters in parts.counters.items()},
            **parts.rules.figures(),
            power=self._power.figures(),
            energy=None if parts.meter is None else parts.meter.figures(),
        )

    async def explanation(self) -> Explanation:
        """Return what waits for what now, and the last decisions."""
        parts = self._parts
        return Explanation(
            buffer=await parts.buffer.stats(),
            unsealed=await parts.buffer.unsealed(),
            wall_ns=self._clock.wall_ns(),
            mono_s=self._clock.mono_ns() / 1e9,
            sealing=parts.sealing.decision.reason,
            uplink=parts.uplink.figures(),
            power=self._power.figures(),
            decisions=self._power.journal.last(),
        )


def resident_bytes() -> int:
    """Return this process's resident memory, from proc(5)'s statm."""
    pages = int(_STATM.read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
