"""An I2C bus with chips that fill their registers as their data sheets say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from whimbrel_agent.power.reading import PowerReadError


class Registers(Protocol):
    """A chip's registers of now."""

    def registers(self) -> Mapping[int, int]: ...


class Bus:
    """Chips by address; an address without one answers nothing."""

    def __init__(self, chips: Mapping[int, Registers]) -> None:
        self.chips = dict(chips)
        self.read: list[int] = []

    def read_word(self, address: int, register: int) -> int:
        chip = self.chips.get(address)
        if chip is None:
            raise PowerReadError(f"chip 0x{address:02x}: Remote I/O error")
        self.read.append(register)
        return chip.registers()[register] & 0xFFFF


class Max17040:
    """VCELL in 1.25 mV steps in the upper twelve bits; SOC in 1/256 percent."""

    def __init__(self, volts: float, percent: float) -> None:
        self.volts, self.percent = volts, percent

    def registers(self) -> Mapping[int, int]:
        return {0x02: round(self.volts / 1.25e-3) << 4, 0x04: int(self.percent * 256)}


class Max17048:
    """VCELL in 78.125 uV steps, CRATE in signed 0.208 percent an hour."""

    def __init__(self, volts: float, percent: float, percent_per_h: float) -> None:
        self.volts, self.percent, self.percent_per_h = volts, percent, percent_per_h

    def registers(self) -> Mapping[int, int]:
        return {
            0x02: round(self.volts / 78.125e-6),
            0x04: int(self.percent * 256),
            0x16: round(self.percent_per_h / 0.208),
        }


class Ina219:
    """After power-on: the calibration is zero, so that current and power read zero."""

    def __init__(
        self, volts: float, amperes: float, *, shunt_ohms: float = 0.1, overflow: bool = False
    ) -> None:
        self.volts, self.amperes = volts, amperes
        self.shunt_ohms, self.overflow = shunt_ohms, overflow

    def registers(self) -> Mapping[int, int]:
        converted = 1 << 1
        return {
            0x00: 0x399F,
            0x01: round(self.amperes * self.shunt_ohms / 10e-6),
            0x02: round(self.volts / 0.004) << 3 | converted | int(self.overflow),
            0x03: 0,
            0x04: 0,
            0x05: 0,
        }
