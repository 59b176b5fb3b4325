"""Room sensors: climate every minute, warmer and with more CO2 while the store is open."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site, toward
from .distributions import Markov, UniformInteger, Weighted
from .record import Drawn, Fields

__all__ = ["CLIMATE"]

_OPEN: Final = (215, 430, 800)
_CLOSED: Final = (175, 480, 520)
"""What temperature (tenths of a degree), humidity (tenths of a percent) and CO2 (ppm) are drawn
to; the hour says which, so the course of the day carries no information."""

_LIGHT: Final = Markov(
    {
        0: Weighted((0, 180, 420), (94, 4, 2)),
        180: Weighted((0, 180, 420, 424), (5, 90, 3, 2)),
        420: Weighted((0, 180, 420, 424, 431), (1, 2, 85, 7, 5)),
        424: Weighted((180, 420, 424, 431), (1, 9, 84, 6)),
        431: Weighted((180, 420, 424, 431), (1, 7, 8, 84)),
    }
)
_MOTION: Final = Markov(
    {False: Weighted((False, True), (85, 15)), True: Weighted((False, True), (25, 75))}
)
_RECORD: Final = Fields(
    ticks=UniformInteger(-20, 20),
    celsius_step=Weighted((-1, 0, 1), (22, 66, 12)),
    humidity_step=Weighted((-2, -1, 0, 1, 2), (10, 24, 38, 20, 8)),
    co2_step=Weighted(range(-10, 9), [5 - abs(step + 1) / 2 for step in range(-10, 9)]),
    light=_LIGHT,
    motion=_MOTION,
)


class _Room:
    """The three walks."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        self._day = site.day
        self._celsius = 175 + setup.randrange(40)
        self._humidity = 430 + setup.randrange(50)
        self._co2 = 520 + setup.randrange(200)

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:
        """Tell the room's climate."""
        celsius, humidity, co2 = _OPEN if self._day.is_open(time_ms) else _CLOSED
        self._celsius = toward(self._celsius, drawn["celsius_step"], celsius)
        self._humidity = toward(self._humidity, drawn["humidity_step"], humidity)
        self._co2 = toward(self._co2, drawn["co2_step"], co2)
        return "climate", {
            "temperature": self._celsius / 10,
            "humidity": self._humidity / 10,
            "co2": self._co2,
            "light": drawn["light"],
            "motion": drawn["motion"],
        }


CLIMATE: Final = Kind(
    name="room",
    count=6,
    zone="rooms",
    record=_RECORD,
    pace=Pace(period_ms=60_000),
    start=_Room,
    telling=("temperature", "humidity", "co2", "light", "motion"),
)
