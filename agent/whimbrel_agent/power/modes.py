"""The power modes and what each of them asks of the agent's parts.

A mode never changes what is kept or promised: only when things are sealed and sent, how hard the
encoder tries, and how often figures are read. The ``critical`` lane is never delayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

__all__ = ["SETTINGS", "CodecEffort", "Mode", "ModeSettings", "frugal_settings"]


class Mode(Enum):
    """How frugal the agent is, from not at all to as much as it can be."""

    MAINS = auto()
    BATTERY = auto()
    LOW = auto()
    CRITICAL = auto()


class CodecEffort(Enum):
    """How much processor time a batch's encoding may take."""

    FULL = auto()
    """What the profile allows on mains."""
    LIGHT = auto()
    """At most half of it: on Wi-Fi a byte saved costs about as much as it brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSettings:
    """What a mode asks for. Where the operator has set more than a floor, the operator's word stands.

    Attributes:
        linger_s: floor by lane: an event waits at least so long for company.
        batch_events: floor: so many events at least make a batch full; None is as configured.
        codec_effort: of sealing.
        sessions_per_h: the radio is switched on at most so often for what can wait; None is
            without a limit. The ``critical`` lane does not count and does not wait.
        stay_connected: hold the connection between two flushes; else let go of it.
        keepalive_s: floor of MQTT's keep-alive while connected; None is as configured.
        metrics_every_s: floor between two events of the machine's own figures.
        poll_s: between two looks at the power supply.
    """

    linger_s: Mapping[str, float]
    batch_events: int | None
    codec_effort: CodecEffort
    sessions_per_h: float | None
    stay_connected: bool
    keepalive_s: int | None
    metrics_every_s: float
    poll_s: float

    def lingers(self, lane: str, configured_s: float) -> float:
        """Give how long an event of a lane waits for company.

        Args:
            lane: its name.
            configured_s: what the configuration says.
        """
        return max(configured_s, self.linger_s.get(lane, 0.0))


def _lanes(*, high: float, normal: float, bulk: float) -> Mapping[str, float]:
    return MappingProxyType({"critical": 0.0, "high": high, "normal": normal, "bulk": bulk})


SETTINGS: Final[Mapping[Mode, ModeSettings]] = MappingProxyType(
    {
        Mode.MAINS: ModeSettings(
            linger_s=_lanes(high=0, normal=0, bulk=0),  # as configured
            batch_events=None,
            codec_effort=CodecEffort.FULL,
            sessions_per_h=None,
            stay_connected=True,
            keepalive_s=None,
            metrics_every_s=0,
            poll_s=60,  # a loss of mains leaves minutes at the least; one wake-up a minute
        ),
        # Sessions of an LTE modem cost 10 J each, whatever is in them. One in five minutes came
        # within 1.2 of the least energy possible in simulated mixed loads; a keep-alive of 60 s
        # alone takes 14.8 kJ a day, of 300 s 3.0 kJ (10 s of tail at 1 W a session).
        Mode.BATTERY: ModeSettings(
            linger_s=_lanes(high=1, normal=60, bulk=300),
            batch_events=1000,  # the most a frame takes: fewer frames, commits and wake-ups
            codec_effort=CodecEffort.LIGHT,
            sessions_per_h=12,
            stay_connected=True,
            keepalive_s=300,
            metrics_every_s=300,  # one figure a session is all that anybody would see
            poll_s=60,  # the line below is further away than a minute
        ),
        # Four sessions an hour is Android's rule for work that can wait: 15 minutes between two.
        Mode.LOW: ModeSettings(
            linger_s=_lanes(high=5, normal=900, bulk=3600),
            batch_events=1000,
            codec_effort=CodecEffort.LIGHT,
            sessions_per_h=4,
            stay_connected=False,  # an idle connection's keep-alive outweighs four connects
            keepalive_s=1200,  # the least of MQTT's traffic while a session lasts after all
            metrics_every_s=900,
            poll_s=60,  # the line below is 15 points away, two minutes at the very most
        ),
        # What is kept is durable; whatever can wait waits for mains.
        Mode.CRITICAL: ModeSettings(
            linger_s=_lanes(high=60, normal=3600, bulk=3600),
            batch_events=1000,
            codec_effort=CodecEffort.LIGHT,
            sessions_per_h=1,
            stay_connected=False,
            keepalive_s=1200,
            metrics_every_s=3600,
            poll_s=20,  # an orderly stop must come before the battery's own end
        ),
    }
)
"""By mode. The figures behind them are from the energy model's sources: published power of radios
and boards, and simulated schedules of a mixed load."""


def frugal_settings(
    sessions_per_h: float | None, effort: CodecEffort | None
) -> Mapping[Mode, ModeSettings]:
    """Return the modes' settings for hardware that must always be frugal, on mains too.

    Args:
        sessions_per_h: radio sessions at most, whatever the mode allows; None: as it says.
        effort: of sealing in every mode; None: as it says.
    """
    return MappingProxyType(
        {
            mode: replace(
                settings,
                sessions_per_h=_fewer(settings.sessions_per_h, sessions_per_h),
                codec_effort=effort or settings.codec_effort,
            )
            for mode, settings in SETTINGS.items()
        }
    )


def _fewer(one: float | None, other: float | None) -> float | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)
