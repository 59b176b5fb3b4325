"""The machine's own figures as events of type ``machine.metrics``, through psutil.

========================  ====================================================================
``cpu_percent``           of all cores, since the event before
``load_1m``               load average over one minute
``memory_percent``        used, as programs see it
``memory_free_bytes``     available to programs without swapping
``swap_percent``          used
``disk_percent``          used, of the file system that holds the buffer
``disk_free_bytes``       there, for this user
``disk_written_bytes``    by all disks since boot: flash wear
``net_sent_bytes``        by all interfaces but loopback, since boot
``net_received_bytes``    the same
``temperature_c``         the hottest sensor, when there is one
``uptime_s``              since boot
``agent_memory_bytes``    resident memory of this process
========================  ====================================================================

What a machine does not have is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError, TooManyWaitingError
from whimbrel_agent.config import MachineIntakeConfig
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock
from whimbrel_protocol.event import Event
from whimbrel_protocol.names import Address

__all__ = ["MachineIntake", "machine_figures"]

TYPE: Final = "machine.metrics"
_LOOPBACK: Final = "lo"

_log: Final = logging.getLogger(__name__)


class MachineIntake:
    """Makes one event of figures every so often.

    Args:
        config: how often, in which lane and zone.
        buffer: where events are kept.
        address: its device is the events' source.
        folder: the file system to look at, the buffer's.
        clock: gives the events' times.
    """

    def __init__(
        self,
        config: MachineIntakeConfig,
        buffer: Buffer,
        address: Address,
        *,
        folder: Path,
        clock: Clock,
    ) -> None:
        self._config = config
        self._buffer = buffer
        self._source = address.device
        self._folder = folder
        self._clock = clock
        self._streak = Streak(_log)
        self._floor_s = 0.0
        self._paced = asyncio.Event()
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Make events until cancelled.

        Raises:
            BufferBrokenError: the buffer must be opened anew.
        """
        psutil.cpu_percent()  # the first call only starts the count
        while True:
            self._paced.clear()
            try:
                async with asyncio.timeout(max(self._config.every_s, self._floor_s)):
                    await self._paced.wait()
            except TimeoutError:
                await self._emit()

    def pace(self, floor_s: float) -> None:
        """Make events no more often than this from now on."""
        self._floor_s = floor_s
        self._paced.set()

    async def _emit(self) -> None:
        event = Event(
            type=TYPE,
            source=self._source,
            time_ns=self._clock.wall_ns(),
            data=machine_figures(self._folder, boot_s=self._clock.mono_ns() / 1e9),
            lane=self._config.lane,
            zone=self._config.zone,
        )
        try:
            await self._buffer.accept([event])
        except (BufferFullError, TooManyWaitingError) as exc:
            # figures of this minute are worth less than what fills the buffer
            self.counters["dropped"] += 1
            self._streak.failed("machine figures are dropped", why=str(exc))
        else:
            self.counters["events"] += 1


def machine_figures(folder: Path, *, boot_s: float) -> dict[str, Any]:
    """Give the figures of now; see the module's table.

    Args:
        folder: on the file system to look at.
        boot_s: seconds since boot.
    """
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(folder))
    figures: dict[str, Any] = {
        "cpu_percent": psutil.cpu_percent(),
        "load_1m": round(psutil.getloadavg()[0], 2),
        "memory_percent": memory.percent,
        "memory_free_bytes": memory.available,
        "swap_percent": psutil.swap_memory().percent,
        "disk_percent": disk.percent,
        "disk_free_bytes": disk.free,
        "uptime_s": int(boot_s),
        "agent_memory_bytes": psutil.Process().memory_info().rss,
    }
    counters = psutil.disk_io_counters()
    if counters is not None:
        figures["disk_written_bytes"] = counters.write_bytes
    figures |= _network()
    figures |= _temperature()
    return figures


def _network() -> Mapping[str, Any]:
    interfaces = [
        counters
        for name, counters in psutil.net_io_counters(pernic=True).items()
        if name != _LOOPBACK
    ]
    return {
        "net_sent_bytes": sum(counters.bytes_sent for counters in interfaces),
        "net_received_bytes": sum(counters.bytes_recv for counters in interfaces),
    }


def _temperature() -> Mapping[str, Any]:
    sensors = psutil.sensors_temperatures()
    readings = [entry.current for entries in sensors.values() for entry in entries]
    return {"temperature_c": round(max(readings), 1)} if readings else {}
