"""A simulated power supply: a battery and mains, in a folder laid out as the kernel's sysfs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

_VOLTS: Final = 3.9

MISREADS: Final[tuple[dict[str, str | None], ...]] = (
    {"voltage_now": "0"},
    {"voltage_now": "-1"},
    {"capacity": "255"},
    {"capacity": "-3"},
    {"capacity": "0"},
    {"capacity": None},
)
"""What gauges and drivers say when they fail: files of the battery by name; None: it is not there."""


class Supply:
    """A device's supply; the agent's ``[power] sys`` names ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._battery = root / "class" / "power_supply" / "BAT0"
        self._mains = root / "class" / "power_supply" / "AC"
        for folder in (self._battery, self._mains):
            folder.mkdir(parents=True, exist_ok=True)
        _put(self._battery / "type", "Battery")
        _put(self._mains / "type", "Mains")

    def say(self, percent: int, *, mains: bool) -> None:
        """Let it be so from now on."""
        _put(self._mains / "online", str(int(mains)))
        _put(self._battery / "status", "Charging" if mains else "Discharging")
        _put(self._battery / "capacity", str(percent))
        _put(self._battery / "voltage_now", str(round(_VOLTS * 1e6)))

    def misread(self, random: Random) -> None:
        """Let the battery say what cannot be."""
        for name, text in random.choice(MISREADS).items():
            if text is None:
                (self._battery / name).unlink(missing_ok=True)
            else:
                _put(self._battery / name, text)


def _put(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(f"{text}\n")
    fresh.replace(file)  # a reader sees the old value or the new one
