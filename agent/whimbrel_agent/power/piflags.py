"""The Raspberry Pi's own word on its supply: under-voltage and throttling.

Two files tell it, depending on the kernel: the hwmon device ``rpi_volt`` has ``in0_lcrit_alarm``
(mainline since 4.20; under-voltage alone), and Raspberry Pi's kernel has
``devices/platform/soc/soc:firmware/get_throttled``: hexadecimal, without a prefix. Its bits, by
the firmware's documentation of ``get_throttled``:

====  ===========================================
bit   now (bits 16 to 19: the same, since boot)
====  ===========================================
0     under-voltage
1     processor's frequency capped
2     processor throttled
3     soft temperature limit reached
====  ===========================================
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from whimbrel_agent.power.reading import PowerReading, PowerSource

__all__ = ["PiFlags", "WithFlags", "find_flags"]

HWMON: Final = Path("class/hwmon")
GET_THROTTLED: Final = Path("devices/platform/soc/soc:firmware/get_throttled")
"""Both below the root of sysfs."""

UNDER_VOLTAGE: Final = 1 << 0
SLOWED: Final = 1 << 1 | 1 << 2 | 1 << 3


class PiFlags:
    """Reads the flags that are there.

    Args:
        alarm: the ``in0_lcrit_alarm`` file, None without one.
        throttled: the ``get_throttled`` file, None without one.
    """

    def __init__(self, alarm: Path | None, throttled: Path | None) -> None:
        self._alarm = alarm
        self._throttled = throttled

    def added_to(self, reading: PowerReading) -> PowerReading:
        """Give a reading with the flags of now; a file that does not answer says nothing."""
        alarm = _number(self._alarm, 10)
        bits = _number(self._throttled, 16)
        low = [alarm == 1] if alarm is not None else []
        if bits is not None:
            low.append(bool(bits & UNDER_VOLTAGE))
        return replace(
            reading,
            under_voltage=any(low) if low else None,
            throttled=None if bits is None else bool(bits & SLOWED),
        )


class WithFlags:
    """A source whose readings carry the board's flags."""

    silent = False

    def __init__(self, source: PowerSource, flags: PiFlags) -> None:
        self._source = source
        self._flags = flags
        self.name = "board flags" if source.silent else f"{source.name}, board flags"

    def read(self) -> PowerReading:
        """Look now.

        Raises:
            PowerReadError: the source did not answer; flags alone say nothing on a charge.
        """
        return self._flags.added_to(self._source.read())


def find_flags(root: Path = Path("/sys")) -> PiFlags | None:
    """Give the board's flags; None where it has none."""
    alarm = next(
        (
            folder / "in0_lcrit_alarm"
            for folder in sorted((root / HWMON).glob("hwmon*"))
            if _first_line(folder / "name") == "rpi_volt"
        ),
        None,
    )
    throttled = root / GET_THROTTLED
    known = _first_line(throttled) is not None
    return PiFlags(alarm, throttled if known else None) if known or alarm is not None else None


def _number(path: Path | None, base: int) -> int | None:
    if path is None:
        return None
    try:
        return int(_first_line(path) or "", base)
    except ValueError:
        return None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None
