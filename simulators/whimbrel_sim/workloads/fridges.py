"""Fridges and freezers: a temperature every 90 s, day and night, with defrosting in between."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site, toward
from .distributions import Markov, UniformInteger, Weighted
from .record import Drawn, Fields, Switch

__all__ = ["FRIDGE"]

_SET_POINTS: Final = (20, 40, -180)
"""Tenths of a degree Celsius: dairy, vegetables, frozen food."""

_DEFROST_ABOVE: Final = 40
"""While it defrosts the temperature is drawn to so many tenths above the set point."""

_DEFROST: Final = Markov(
    {
        False: Weighted((False, True), (990, 10)),
        True: Weighted((False, True), (100, 900)),
    }
)
"""About every two and a half hours, for a quarter of an hour."""

_RECORD: Final = Switch(
    "defrost",
    _DEFROST,
    {
        False: Fields(step=Weighted((-2, -1, 0, 1), (10, 32, 38, 20))),
        True: Fields(step=Weighted((-6, -5, -4, -3, -2, -1, 0, 1), (1, 2, 4, 5, 4, 3, 2, 2))),
    },
    always=Fields(ticks=UniformInteger(-20, 20)),
)


class _Fridge:
    """Temperature and set point in tenths of a degree."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        self._target = setup.choice(_SET_POINTS)
        self._tenths = self._target

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell the temperature, drawn to the set point or, defrosting, above it."""
        defrost = drawn["defrost"]
        aim = self._target + _DEFROST_ABOVE if defrost else self._target
        self._tenths = toward(self._tenths, drawn["step"], aim)
        return "fridge.temperature", {
            "temperature": self._tenths / 10,
            "set_point": self._target / 10,
            "defrost": defrost,
            "compressor": "on" if self._tenths > self._target and not defrost else "off",
        }


FRIDGE: Final = Kind(
    name="fridge",
    count=8,
    zone="cold",
    record=_RECORD,
    pace=Pace(period_ms=90_000),
    start=_Fridge,
    telling=("temperature", "defrost"),
)
