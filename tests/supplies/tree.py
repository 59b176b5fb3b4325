"""A sysfs of our own: power supplies and a board's flags, in the kernel's units and words."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


class SysfsTree:
    """Folders and files as the kernel lays them out; values change as a whole, as its do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.supplies = root / "class" / "power_supply"
        self.supplies.mkdir(parents=True)

    def battery(
        self,
        name: str = "BAT0",
        *,
        percent: int | None = 80,
        status: str = "Discharging",
        volts: float | None = 3.9,
        **files: object,
    ) -> None:
        """A battery; ``files`` are further files by name."""
        self._write(
            name,
            type="Battery",
            status=status,
            capacity=percent,
            **{"voltage_now": None if volts is None else round(volts * 1e6), **files},
        )

    def mains(self, name: str = "AC", *, online: bool = True, kind: str = "Mains") -> None:
        self._write(name, type=kind, online=int(online))

    def put(self, name: str, **files: object) -> None:
        """Any supply, file by file; None removes a file."""
        self._write(name, **files)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.supplies / name)

    def alarm(self, *, low: bool, number: int = 1) -> None:
        """The hwmon device that Raspberry Pis have."""
        folder = self.root / "class" / "hwmon" / f"hwmon{number}"
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "name", "rpi_volt")
        _replace(folder / "in0_lcrit_alarm", str(int(low)))

    def throttled(self, bits: int) -> None:
        """The file of Raspberry Pi's own kernel."""
        file = self.root / THROTTLED
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, f"{bits:x}")

    def _write(self, supply: str, **files: object) -> None:
        folder = self.supplies / supply
        folder.mkdir(exist_ok=True)
        for name, value in files.items():
            if value is None:
                (folder / name).unlink(missing_ok=True)
            else:
                _replace(folder / name, str(value))


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(f"{text}\n")
    os.replace(fresh, file)  # noqa: PTH105  a reader sees the old value or the new one
