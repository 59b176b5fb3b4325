"""Which source is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from supplies.tree import SysfsTree
from whimbrel_agent.power.choice import find_source
from whimbrel_agent.power.reading import PowerReading, PowerSource
from whimbrel_agent.power.settings import PowerConfig
from whimbrel_agent.power.ups import UpsConfig

UPS = UpsConfig(chip="max17048")


def chosen(root: Path, source: str = "auto", ups: UpsConfig | None = None) -> PowerSource:
    return find_source(PowerConfig(source=source, ups=ups, sys=root))


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


def test_a_machine_without_supplies_is_silent(tree: SysfsTree) -> None:
    source = chosen(tree.root)
    assert (source.name, source.silent, source.read()) == ("none", True, PowerReading())


def test_supplies_of_the_kernel_are_found(tree: SysfsTree) -> None:
    tree.battery()
    source = chosen(tree.root)
    assert (source.name, source.silent) == ("sysfs BAT0", False)


def test_a_ups_that_is_configured_comes_before_the_kernel_s(tree: SysfsTree) -> None:
    tree.battery()
    assert chosen(tree.root, ups=UPS).name == "max17048 at 0x36 on I2C bus 1"
    assert chosen(tree.root, "ups", UPS).name == "max17048 at 0x36 on I2C bus 1"


def test_a_board_s_flags_alone_are_read(tree: SysfsTree) -> None:
    tree.throttled(0)
    source = chosen(tree.root)
    assert (source.name, source.silent) == ("board flags", False)


def test_flags_are_added_to_a_battery(tree: SysfsTree) -> None:
    tree.throttled(1)
    tree.battery()
    assert chosen(tree.root).read().under_voltage is True


def test_none_reads_nothing_at_all(tree: SysfsTree) -> None:
    tree.throttled(1)
    tree.battery()
    assert chosen(tree.root, "none").silent


def test_sysfs_by_name_is_read_even_while_it_is_empty(tree: SysfsTree) -> None:
    source = chosen(tree.root, "sysfs")
    assert not source.silent
    tree.battery(percent=12)
    assert source.read().percent == 12


@pytest.mark.parametrize("known", [True, False])
def test_psutil_is_the_fallback_without_sysfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    battery = type("Battery", (), {"percent": 50, "power_plugged": True})
    monkeypatch.setattr("psutil.sensors_battery", lambda: battery if known else None, raising=False)
    assert chosen(tmp_path / "nothing").name == ("psutil" if known else "none")


def test_psutil_is_not_loaded_where_sysfs_would_say_the_same(
    tree: SysfsTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_agent.power.sensors.PsutilSource", None)
    assert chosen(tree.root).silent
