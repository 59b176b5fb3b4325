"""UPS HATs on I2C: the chips that they carry, in a registry that others can be added to.

Only registers that say something without set-up are read, and none is ever written: the HAT's
own software, where there is some, is not disturbed.

MAX17040, MAX17048 (data sheets of the same names; both at 0x36):

========  =======  ==================================================================
register  name     meaning
========  =======  ==================================================================
0x02      VCELL    cell voltage, 78.125 uV a step (MAX17040: 1.25 mV in the upper 12 bits,
                   which is the same number)
0x04      SOC      charge, 1/256 percent a step
0x16      CRATE    MAX17048 only: signed, 0.208 percent an hour a step
========  =======  ==================================================================

INA219 (data sheet SBOS448; 0x40 to 0x4f), in its state after power-on:

========  =======  ==================================================================
0x01      shunt    signed, 10 uV a step over the shunt resistor
0x02      bus      voltage in bits 3 to 15, 4 mV a step; bit 0: overflow
========  =======  ==================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.power.i2c import KernelBus, RegisterBus
from whimbrel_agent.power.reading import PowerReadError, PowerReading

__all__ = ["CHIPS", "Chip", "UpsConfig", "UpsSource"]

MAX17048_RESTING_PERCENT_PER_H: Final = -0.6
"""Three steps of CRATE: a battery that falls slower lasts for a week, so that it may as well be
kept full by the mains; faster is a discharge."""

INA219_RESTING_A: Final = -0.05
"""Below this the battery feeds the device. HATs on mains show a few mA either way; a Pi Zero 2 W
takes 120 mA at rest."""

SHUNT_OHMS: Final = 0.1
"""On most boards; Waveshare's newer HATs have 0.01."""

EMPTY_V: Final = 3.3
FULL_V: Final = 4.15
"""Of a lithium-ion cell under a light load. Below 3.3 V a few percent are left and the voltage
falls off; a straight line between them is within some 15 points, which is what a voltage can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsConfig:
    """Which chip, and how its board is built.

    Attributes:
        chip: a name of :data:`CHIPS`.
        bus: N of ``/dev/i2c-N``.
        address: seven bits; None is the chip's usual one.
        cells: in series; for chips that measure the pack's voltage.
        empty_v, full_v: of one cell, where the charge is derived from the voltage.
        shunt_ohms: resistor through which the battery's current flows.
        reverse_current: the board's shunt is wired so that a positive current discharges.
    """

    chip: str
    bus: int = 1  # the pins 3 and 5 of every Raspberry Pi
    address: int | None = None
    cells: int = 1
    empty_v: float = EMPTY_V
    full_v: float = FULL_V
    shunt_ohms: float = SHUNT_OHMS
    reverse_current: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """One kind of chip.

    Attributes:
        address: where it usually is.
        read: gives a reading from a bus, an address, and the board's facts.
    """

    address: int
    read: Callable[[RegisterBus, int, UpsConfig], PowerReading]


class UpsSource:
    """A chip on a bus.

    Args:
        config: which one and where.
        bus: how it is reached; None is this machine's own.
    """

    silent = False

    def __init__(self, config: UpsConfig, bus: RegisterBus | None = None) -> None:
        self._config = config
        self._chip = CHIPS[config.chip]
        self._address = self._chip.address if config.address is None else config.address
        self._bus = KernelBus(config.bus) if bus is None else bus
        self.name = f"{config.chip} at 0x{self._address:02x} on I2C bus {config.bus}"

    def read(self) -> PowerReading:
        """Ask the chip now.

        Raises:
            PowerReadError: no answer, or one that the chip itself calls wrong.
        """
        return self._chip.read(self._bus, self._address, self._config)


def _max17040(bus: RegisterBus, address: int, _config: UpsConfig) -> PowerReading:
    return PowerReading(
        volts=bus.read_word(address, 0x02) * 78.125e-6,
        percent=_gauge_percent(bus.read_word(address, 0x04)),
    )


def _max17048(bus: RegisterBus, address: int, _config: UpsConfig) -> PowerReading:
    rate = _signed(bus.read_word(address, 0x16)) * 0.208
    return PowerReading(
        volts=bus.read_word(address, 0x02) * 78.125e-6,
        percent=_gauge_percent(bus.read_word(address, 0x04)),
        on_mains=rate > MAX17048_RESTING_PERCENT_PER_H,
    )


def _ina219(bus: RegisterBus, address: int, config: UpsConfig) -> PowerReading:
    word = bus.read_word(address, 0x02)
    if word & 1:
        raise PowerReadError(f"chip 0x{address:02x}: its measurement overflowed")
    volts = (word >> 3) * 0.004
    amperes = _signed(bus.read_word(address, 0x01)) * 10e-6 / config.shunt_ohms
    if config.reverse_current:
        amperes = -amperes
    return PowerReading(
        volts=volts,
        percent=_percent_by_voltage(volts / config.cells, config),
        on_mains=amperes > INA219_RESTING_A,
        watts=abs(volts * amperes),
    )


def _gauge_percent(word: int) -> float:
    """Give the charge; a gauge that learns a new cell may say up to 105, which is full."""
    percent = word / 256
    return 100.0 if 100 < percent <= 105 else percent


def _percent_by_voltage(cell_v: float, config: UpsConfig) -> float:
    share = (cell_v - config.empty_v) / (config.full_v - config.empty_v)
    return 100 * min(1.0, max(0.0, share))


def _signed(word: int) -> int:
    return word - 0x1_0000 if word & 0x8000 else word


CHIPS: Final[Mapping[str, Chip]] = {
    "max17040": Chip(0x36, _max17040),
    "max17048": Chip(0x36, _max17048),
    "ina219": Chip(0x40, _ina219),
}
"""By the name that ``chip`` of ``[power.ups]`` takes."""
