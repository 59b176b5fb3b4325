"""Battery reports of small sensors: voltage and radio, every quarter of an hour."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site, toward
from .distributions import UniformInteger, Weighted
from .record import Drawn, Fields

__all__ = ["BATTERY"]

_RECORD: Final = Fields(
    ticks=UniformInteger(-50, 50),
    volt_step=Weighted((-2, -1, 0, 1), (8, 24, 52, 16)),
    radio_step=Weighted((-3, -2, -1, 0, 1, 2), (6, 14, 24, 30, 18, 8)),
)
_FULL_MV: Final = 3_100
_EMPTY_MV: Final = 2_400
_HOURS_PER_MV: Final = 8
"""A cell lasts about eight months."""

_CHANGE_EVERY_H: Final = (_FULL_MV - _EMPTY_MV) * _HOURS_PER_MV
_HOUR_MS: Final = 3_600_000


class _Battery:
    """A voltage that follows the age of its cell, and a radio level about its place's."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        self._age_h = setup.randrange(_CHANGE_EVERY_H)
        self._radio_target_dbm = -50 - setup.randrange(35)
        self._radio_dbm = self._radio_target_dbm
        self._millivolts: int | None = None

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:
        """Tell voltage and radio level."""
        age_h = (time_ms // _HOUR_MS + self._age_h) % _CHANGE_EVERY_H
        should_mv = _FULL_MV - age_h // _HOURS_PER_MV
        before_mv = self._millivolts
        if before_mv is None or should_mv - before_mv > (_FULL_MV - _EMPTY_MV) // 2:
            before_mv = should_mv  # the first report, or a fresh cell
        self._millivolts = toward(before_mv, drawn["volt_step"], should_mv)
        self._radio_dbm = toward(self._radio_dbm, drawn["radio_step"], self._radio_target_dbm)
        return "device.battery", {
            "millivolts": self._millivolts,
            "rssi_dbm": self._radio_dbm,
            "low": self._millivolts < _EMPTY_MV + 100,
        }


BATTERY: Final = Kind(
    name="battery",
    count=20,
    zone="sensors",
    record=_RECORD,
    pace=Pace(period_ms=900_000),
    start=_Battery,
    telling=("millivolts", "rssi_dbm"),
)
