"""UPS chips over a bus whose chips behave as their data sheets say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supplies.chips import Bus, Ina219, Max17040, Max17048, Registers
from whimbrel_agent.power.plausibility import Misread, Plausibility
from whimbrel_agent.power.reading import PowerReadError, PowerReading
from whimbrel_agent.power.ups import CHIPS, Chip, UpsConfig, UpsSource


def read(chip: Registers, config: UpsConfig, address: int) -> PowerReading:
    return UpsSource(config, Bus({address: chip})).read()


def test_max17040_tells_volts_and_charge_and_nothing_of_mains() -> None:
    reading = read(Max17040(3.9, 62.5), UpsConfig(chip="max17040"), 0x36)
    assert replace(reading, volts=None) == PowerReading(percent=62.5)
    assert reading.volts == pytest.approx(3.9)


@pytest.mark.parametrize(
    ("percent_per_h", "on_mains"), [(40, True), (0, True), (-0.4, True), (-1, False), (-50, False)]
)
def test_max17048_tells_mains_by_the_charge_s_rate(percent_per_h: float, *, on_mains: bool) -> None:
    reading = read(Max17048(4.05, 91, percent_per_h), UpsConfig(chip="max17048"), 0x36)
    assert reading.on_mains is on_mains
    assert reading.volts == pytest.approx(4.05, abs=1e-4)
    assert reading.percent == 91


@pytest.mark.parametrize(("told", "percent"), [(100.5, 100), (105, 100), (99.5, 99.5)])
def test_a_gauge_that_says_a_little_over_a_hundred_is_full(told: float, percent: float) -> None:
    assert read(Max17040(4.2, told), UpsConfig(chip="max17040"), 0x36).percent == percent


@pytest.mark.parametrize(
    ("amperes", "on_mains"), [(0.8, True), (0.0, True), (-0.02, True), (-0.4, False)]
)
def test_ina219_tells_mains_by_the_current(amperes: float, *, on_mains: bool) -> None:
    reading = read(Ina219(3.725, amperes), UpsConfig(chip="ina219"), 0x40)
    assert reading.on_mains is on_mains
    assert reading.volts == pytest.approx(3.724)
    assert reading.watts == pytest.approx(abs(3.724 * amperes), abs=1e-3)
    assert reading.percent == pytest.approx(50, abs=0.2)


def test_a_board_with_other_cells_shunt_address_and_direction() -> None:
    config = UpsConfig(
        chip="ina219", address=0x43, cells=2, empty_v=3, full_v=4, shunt_ohms=0.01,
        reverse_current=True,
    )  # fmt: skip
    reading = read(Ina219(7.0, 1.5, shunt_ohms=0.01), config, 0x43)
    assert (reading.percent, reading.on_mains) == (50, False)
    assert reading.watts == pytest.approx(10.5)


@pytest.mark.parametrize(("volts", "percent"), [(2.5, 0), (4.4, 100)])
def test_a_voltage_beyond_the_cell_s_is_empty_or_full(volts: float, percent: float) -> None:
    assert read(Ina219(volts, 0), UpsConfig(chip="ina219"), 0x40).percent == percent


def test_a_measurement_that_the_chip_calls_wrong_is_none() -> None:
    with pytest.raises(PowerReadError, match="overflowed"):
        read(Ina219(3.7, 0, overflow=True), UpsConfig(chip="ina219"), 0x40)


@pytest.mark.parametrize("chip", CHIPS)
def test_a_chip_that_is_not_there_is_a_failure(chip: str) -> None:
    with pytest.raises(PowerReadError, match="Remote I/O"):
        UpsSource(UpsConfig(chip=chip, address=0x11), Bus({})).read()


class Stuck:
    """A bus line that is held: every register reads the same."""

    def __init__(self, word: int) -> None:
        self.word = word

    def registers(self) -> dict[int, int]:
        return dict.fromkeys(range(0x20), self.word)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("word", [0x0000, 0xFFFF])
def test_a_stuck_bus_is_never_believed(chip: str, word: int) -> None:
    source = UpsSource(UpsConfig(chip=chip, address=0x36), Bus({0x36: Stuck(word)}))
    try:
        reading = source.read()
    except PowerReadError:
        return
    assert Plausibility(900).check(reading, 0) in {Misread.VOLTAGE, Misread.PERCENT}


def test_only_registers_that_measure_are_read() -> None:
    bus = Bus({0x36: Max17048(3.9, 50, 0), 0x40: Ina219(3.9, 0)})
    UpsSource(UpsConfig(chip="max17048"), bus).read()
    assert sorted(bus.read) == [0x02, 0x04, 0x16]
    bus.read.clear()
    UpsSource(UpsConfig(chip="ina219"), bus).read()
    assert sorted(bus.read) == [0x01, 0x02]


def test_another_chip_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip(0x2D, lambda bus, at, _: PowerReading(percent=float(bus.read_word(at, 0x1A))))
    monkeypatch.setattr("whimbrel_agent.power.ups.CHIPS", {**CHIPS, "hat-e": chip})
    source = UpsSource(UpsConfig(chip="hat-e"), Bus({0x2D: Stuck(42)}))
    assert source.read() == PowerReading(percent=42)
    assert source.name == "hat-e at 0x2d on I2C bus 1"
