"""psutil's word on a battery: the fallback for systems without Linux's power supplies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from whimbrel_agent.power.reading import PowerReadError, PowerReading

__all__ = ["PsutilSource"]


class PsutilSource:
    """One battery, through ``psutil.sensors_battery``.

    Args:
        sensors: what is asked; None is psutil's own, loaded only now for its memory's sake.
    """

    name = "psutil"

    def __init__(self, sensors: Callable[[], Any] | None = None) -> None:
        self._sensors = _psutil_sensors() if sensors is None else sensors

    @property
    def silent(self) -> bool:
        """Whether psutil knows of no battery."""
        return self._sensors is None or self._sensors() is None

    def read(self) -> PowerReading:
        """Ask now.

        Percents below zero are psutil's way to say unknown (its -1, and -2 for unlimited time).

        Raises:
            PowerReadError: psutil failed.
        """
        try:
            battery = None if self._sensors is None else self._sensors()
        except (OSError, RuntimeError, ValueError) as error:
            raise PowerReadError(f"psutil cannot read the battery: {error}") from error
        if battery is None:
            return PowerReading()
        percent = battery.percent
        return PowerReading(
            on_mains=battery.power_plugged,
            percent=None if percent is None or percent in (-1, -2) else float(percent),
        )


def _psutil_sensors() -> Callable[[], Any] | None:
    import psutil  # noqa: PLC0415  a megabyte that most devices never need

    return getattr(psutil, "sensors_battery", None)
