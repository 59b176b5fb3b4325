"""The agent's energy and wear meter: reads counters, prices them, keeps a day of samples.

Reading is cheap and happens when somebody asks; besides, once an hour, so that there is a last
day to speak of and somebody is warned of wear. That is the meter's only wake-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from whimbrel_agent.energy.account import RadioAccount
from whimbrel_agent.energy.figures import Consumption, EnergyFigures
from whimbrel_agent.energy.metering import MeteredTransport
from whimbrel_agent.energy.model import (
    SECONDS_PER_DAY,
    Costs,
    Joules,
    Work,
    battery_h,
    energy_of,
)
from whimbrel_agent.energy.usage import Usage
from whimbrel_agent.logs import facts
from whimbrel_agent.ports import Clock, Transport
from whimbrel_agent.profiles.choosing import ChosenProfile
from whimbrel_agent.wear import WearWatch, wear_of

__all__ = ["EnergyMeter"]

SAMPLE_EVERY_S: Final = 3600.0

MAX_SAMPLES: Final = 26
"""A day of hourly ones, and the two around it."""

N = TypeVar("N", int, float)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sample:
    """All counters at one moment."""

    now_s: float
    work: Work
    joules: Joules
    written_bytes: int | None
    card_bytes: int | None


class EnergyMeter:
    """Prices what the agent does.

    Args:
        chosen: the profile and why it was chosen.
        usage: the kernel's counters.
        clock: for the moments of use; monotonic time alone is read.
        keepalive_s: of the uplink's connection; 0: none.
        commits: gives the buffer's transactions so far.
    """

    def __init__(
        self,
        chosen: ChosenProfile,
        usage: Usage,
        clock: Clock,
        *,
        keepalive_s: float = 0.0,
        commits: Callable[[], int] = lambda: 0,
    ) -> None:
        self._chosen = chosen
        self._costs = Costs.of(chosen.profile)
        self._usage = usage
        self._clock = clock
        self._commits = commits
        self._account = RadioAccount(tail_s=self._costs.radio.tail_s, keepalive_s=keepalive_s)
        self._watch = WearWatch()
        self._started_s = self._now_s()
        self._start_cpu_s = usage.cpu_s()
        self._start_bytes = usage.written_bytes()
        self._start_commits = commits()
        self._samples: deque[_Sample] = deque([self._sample()], maxlen=MAX_SAMPLES)

    @property
    def costs(self) -> Costs:
        """What work costs by the profile, for whoever plans by it."""
        return self._costs

    def metered(self, transport: Transport) -> Transport:
        """Return the same transport, whose uses are counted here."""
        return MeteredTransport(transport, self._account, self._clock)

    def figures(self) -> EnergyFigures:
        """Return everything as it is now."""
        now = self._sample()
        before = self._day_before(now.now_s)
        span_s = now.now_s - before.now_s
        last_day = now.joules - before.joules
        battery = self._chosen.profile.battery
        return EnergyFigures(
            profile=self._chosen.profile.name,
            profile_reason=self._chosen.reason,
            work=now.work,
            since_start=Consumption.of(now.joules, now.work.time_s),
            last_day=Consumption.of(last_day, span_s),
            battery_h=None if battery is None else battery_h(battery, last_day, span_s),
            wear=wear_of(
                self._chosen.profile.flash,
                written_bytes=now.written_bytes,
                span_s=span_s,
                span_bytes=_less(now.written_bytes, before.written_bytes),
                span_card_bytes=_less(now.card_bytes, before.card_bytes),
            ),
        )

    async def run(self) -> None:
        """Sample every hour and warn of wear, until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            self.sample()

    def sample(self) -> None:
        """Keep one sample, and warn when flash wears too fast."""
        figures = self.figures()
        self._samples.append(self._sample())
        warning = self._watch.warning(figures.wear, self._now_s())
        if warning is not None:
            _log.warning(warning, extra=facts(wear=figures.wear))

    def _sample(self) -> _Sample:
        now_s = self._now_s()
        written = _less(self._usage.written_bytes(), self._start_bytes)
        work = replace(
            self._account.work(now_s),
            time_s=now_s - self._started_s,
            cpu_s=_less(self._usage.cpu_s(), self._start_cpu_s) or 0.0,
            commits=self._commits() - self._start_commits,
            bytes_written=written or 0,
        )
        return _Sample(
            now_s=now_s,
            work=work,
            joules=energy_of(work, self._costs),
            written_bytes=written,
            card_bytes=self._usage.disk_written_bytes(),
        )

    def _day_before(self, now_s: float) -> _Sample:
        """Return the youngest sample that is a day old, or the oldest there is."""
        found = self._samples[0]
        for sample in self._samples:
            if now_s - sample.now_s < SECONDS_PER_DAY:
                break
            found = sample
        return found

    def _now_s(self) -> float:
        return self._clock.mono_ns() / 1e9


def _less(now: N | None, before: N | None) -> N | None:
    """Return the difference, None when one is not known; a counter that went back counts as still."""
    return None if now is None or before is None else max(now, before) - before
