"""Linux's power supplies, over a tree of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from supplies.tree import SysfsTree
from whimbrel_agent.power.reading import PowerReading
from whimbrel_agent.power.sysfs import SysfsSource, supplies_in


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


def read(tree: SysfsTree) -> PowerReading:
    return SysfsSource(tree.root).read()


def test_units_are_the_kernel_s(tree: SysfsTree) -> None:
    tree.battery(percent=64, volts=3.85, power_now=2_500_000)
    tree.mains(online=False)
    assert read(tree) == PowerReading(on_mains=False, percent=64, volts=3.85, watts=2.5)


def test_power_is_current_times_voltage_where_the_driver_has_no_power(tree: SysfsTree) -> None:
    tree.battery(volts=4.0, current_now=-500_000)
    assert read(tree).watts == pytest.approx(2.0)


def test_what_is_absent_is_absent(tree: SysfsTree) -> None:
    tree.battery(percent=None, volts=None, status="Unknown")
    assert read(tree) == PowerReading()


def test_a_file_that_answers_nonsense_is_absent(tree: SysfsTree) -> None:
    tree.battery(voltage_now="soon")
    assert read(tree).volts is None


def test_a_file_that_cannot_be_read_is_absent(tree: SysfsTree) -> None:
    tree.battery(volts=None)
    (tree.supplies / "BAT0" / "voltage_now").mkdir()  # EISDIR stands for a driver's EIO, ENODATA
    assert read(tree) == PowerReading(on_mains=False, percent=80)


@pytest.mark.parametrize("kind", ["energy", "charge"])
def test_a_battery_without_capacity_has_its_energy_or_charge(tree: SysfsTree, kind: str) -> None:
    tree.battery(percent=None)
    tree.put("BAT0", **{f"{kind}_now": 1_000_000, f"{kind}_full": 4_000_000})
    assert read(tree).percent == 25


def test_a_battery_that_never_was_full_has_its_design(tree: SysfsTree) -> None:
    tree.battery(percent=None, charge_now=1_000_000, charge_full=0, charge_full_design=2_000_000)
    assert read(tree).percent == 50


def test_several_batteries_are_weighed_by_energy(tree: SysfsTree) -> None:
    tree.battery("BAT0", percent=100, energy_now=10_000_000, energy_full=10_000_000)
    tree.battery("BAT1", percent=0, volts=3.0, energy_now=0, energy_full=30_000_000)
    reading = read(tree)
    assert (reading.percent, reading.volts) == (25, 3.9)


def test_several_batteries_without_energy_are_averaged(tree: SysfsTree) -> None:
    tree.battery("BAT0", percent=100, energy_now=10_000_000, energy_full=10_000_000)
    tree.battery("BAT1", percent=50)
    assert read(tree).percent == 75


@pytest.mark.parametrize("kind", ["Mains", "USB", "Wireless"])
def test_an_adapter_that_is_online_is_mains(tree: SysfsTree, kind: str) -> None:
    tree.battery(status="Charging")
    tree.mains("first", online=False, kind=kind)
    tree.mains("second", online=True, kind=kind)
    assert read(tree).on_mains is True


def test_a_programmable_adapter_is_online_with_two(tree: SysfsTree) -> None:
    tree.put("usb", type="USB", online=2)
    assert read(tree).on_mains is True


@pytest.mark.parametrize(
    ("status", "on_mains"),
    [
        ("Charging", True),
        ("Full", True),
        ("Not charging", True),
        ("Discharging", False),
        ("Unknown", None),
    ],
)
def test_without_an_adapter_the_battery_s_status_says_it(
    tree: SysfsTree, status: str, on_mains: bool | None
) -> None:
    tree.battery(status=status)
    assert read(tree).on_mains is on_mains


def test_an_adapter_too_weak_to_stop_the_discharge_is_not_mains(tree: SysfsTree) -> None:
    tree.mains(online=True)
    tree.battery(status="Discharging")
    assert read(tree).on_mains is False


def test_a_mouse_s_battery_does_not_count(tree: SysfsTree) -> None:
    tree.battery("hidpp_battery_0", percent=2, scope="Device")
    assert read(tree) == PowerReading()


def test_an_empty_slot_does_not_count(tree: SysfsTree) -> None:
    tree.battery("BAT1", percent=0, volts=0.0, present=0)
    tree.battery("BAT0", percent=60, scope="System", present=1)
    assert read(tree).percent == 60


def test_supplies_that_come_and_go_are_noticed(tree: SysfsTree) -> None:
    source = SysfsSource(tree.root)
    assert source.read() == PowerReading()
    tree.battery(percent=50)
    assert source.read().percent == 50
    tree.remove("BAT0")
    assert source.read() == PowerReading()


def test_the_name_says_what_is_read(tree: SysfsTree) -> None:
    assert SysfsSource(tree.root).name == "sysfs without a supply yet"
    tree.battery()
    tree.mains()
    assert SysfsSource(tree.root).name == "sysfs AC, BAT0"


def test_a_system_without_the_folder_has_no_supplies(tmp_path: Path) -> None:
    assert supplies_in(tmp_path / "none") == []


def test_this_machine_s_own_supplies_can_be_read() -> None:
    SysfsSource().read()
