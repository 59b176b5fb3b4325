"""Reads Linux's power supplies: ``/sys/class/power_supply``, one folder a supply.

Units are the kernel's (sysfs-class-power of its ABI documents): microvolts, microamperes,
microampere-hours, microwatts, microwatt-hours, percent. What a driver does not know has no file,
or a file that answers an error: both are simply absent here. Supplies whose ``scope`` is
``Device`` power something else (a mouse, a scanner) and do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel_agent.power.reading import PowerReading

__all__ = ["Supply", "SysfsSource", "combine", "supplies_in"]

SUPPLIES: Final = Path("class/power_supply")
"""Below the root of sysfs."""

MAX_SUPPLIES: Final = 16
"""Laptops have six with USB-C ports; more is a tree that loops or is not sysfs."""

_MAX_FILE_BYTES: Final = 64
"""The longest of these values is a word."""

_BATTERIES: Final = frozenset({"Battery", "UPS"})
_FEEDING: Final = frozenset({"Charging", "Full", "Not charging"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """One supply as the kernel shows it, in volts, watts, percent; None is absent."""

    name: str
    type: str
    online: bool | None = None
    status: str | None = None
    percent: float | None = None
    volts: float | None = None
    watts: float | None = None
    energy: tuple[float, float] | None = None
    """Now and when full, watt-hours."""
    charge: tuple[float, float] | None = None
    """Now and when full, ampere-hours."""

    @property
    def is_battery(self) -> bool:
        """Whether it stores energy."""
        return self.type in _BATTERIES


class SysfsSource:
    """The kernel's supplies.

    Args:
        root: where sysfs is mounted.
    """

    silent = False

    def __init__(self, root: Path = Path("/sys")) -> None:
        self._folder = root / SUPPLIES
        names = ", ".join(supply.name for supply in supplies_in(self._folder))
        self.name = f"sysfs {names or 'without a supply yet'}"

    def read(self) -> PowerReading:
        """Read every supply anew; those that came or went are noticed."""
        return combine(supplies_in(self._folder))


def supplies_in(folder: Path) -> list[Supply]:
    """Give the supplies that power this machine, by name."""
    try:
        found = sorted(folder.iterdir())[:MAX_SUPPLIES]
    except OSError:
        return []
    return [supply for path in found if (supply := _supply(path)) is not None]


def combine(supplies: Sequence[Supply]) -> PowerReading:
    """Give one reading of several supplies."""
    batteries = [supply for supply in supplies if supply.is_battery]
    volts = [supply.volts for supply in batteries if supply.volts is not None]
    watts = [supply.watts for supply in batteries if supply.watts is not None]
    return PowerReading(
        on_mains=_on_mains(supplies),
        percent=_percent(batteries),
        volts=max(volts, default=None),
        watts=sum(watts) if watts else None,
    )


def _on_mains(supplies: Sequence[Supply]) -> bool | None:
    """Say whether something feeds the device.

    A battery that says ``Discharging`` outweighs an adapter that is online: a solar panel at dusk
    or a weak charger is there, and the charge falls all the same.
    """
    statuses = {supply.status for supply in supplies if supply.is_battery}
    if "Discharging" in statuses:
        return False
    online = [supply.online for supply in supplies if supply.online is not None]
    if online:
        return any(online)
    return True if statuses & _FEEDING else None


def _percent(batteries: Sequence[Supply]) -> float | None:
    """Give the charge of all batteries: by energy, else by charge, else the mean of percents.

    A single battery's own ``capacity`` comes first: its gauge knows more than a division.
    """
    if len(batteries) > 1:
        energies = [supply.energy for supply in batteries]
        charges = [supply.charge for supply in batteries]
        for parts in (energies, charges):
            known = [part for part in parts if part is not None]
            if len(known) == len(batteries):
                return 100 * sum(now for now, _ in known) / sum(full for _, full in known)
    known_percents = [p for p in map(_own_percent, batteries) if p is not None]
    return sum(known_percents) / len(known_percents) if known_percents else None


def _own_percent(battery: Supply) -> float | None:
    if battery.percent is not None:
        return battery.percent
    part = battery.energy or battery.charge
    return None if part is None else 100 * part[0] / part[1]


def _supply(path: Path) -> Supply | None:
    kind = _text(path / "type")
    if kind is None or _text(path / "scope") == "Device" or _text(path / "present") == "0":
        return None

    def micro(name: str) -> float | None:
        value = _integer(path / name)
        return None if value is None else value / 1e6

    online = _integer(path / "online")
    percent = _integer(path / "capacity")
    volts = micro("voltage_now")
    return Supply(
        name=path.name,
        type=kind,
        online=None if online is None else online > 0,  # 2 is online, with a programmable voltage
        status=_text(path / "status"),
        percent=None if percent is None else float(percent),
        volts=volts,
        watts=_watts(micro, volts),
        energy=_part(micro, "energy"),
        charge=_part(micro, "charge"),
    )


def _watts(micro: Callable[[str], float | None], volts: float | None) -> float | None:
    """Give the flow; drivers do not agree on its sign, so that it has none here."""
    watts = micro("power_now")
    if watts is not None:
        return abs(watts)
    amperes = micro("current_now")
    return None if amperes is None or volts is None else abs(amperes * volts)


def _part(micro: Callable[[str], float | None], kind: str) -> tuple[float, float] | None:
    now = micro(f"{kind}_now")
    full = micro(f"{kind}_full") or micro(f"{kind}_full_design")
    return None if now is None or full is None or full <= 0 else (now, full)


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_FILE_BYTES).decode("ascii", "replace").strip() or None
    except OSError:  # not there, or the driver has no value now (ENODATA, EIO, ENODEV)
        return None


def _integer(path: Path) -> int | None:
    try:
        return int(_text(path) or "")
    except ValueError:
        return None
