"""The board's flags, over a tree of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from supplies.tree import SysfsTree
from whimbrel_agent.power.piflags import PiFlags, WithFlags, find_flags
from whimbrel_agent.power.reading import NoSource, PowerReadError, PowerReading
from whimbrel_agent.power.sysfs import SysfsSource


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    return SysfsTree(tmp_path / "sys")


def found(tree: SysfsTree) -> PiFlags:
    flags = find_flags(tree.root)
    assert flags is not None
    return flags


def test_a_board_without_flags_has_none(tree: SysfsTree) -> None:
    (tree.root / "class/hwmon/hwmon0").mkdir(parents=True)
    (tree.root / "class/hwmon/hwmon0/name").write_text("cpu_thermal\n")
    assert find_flags(tree.root) is None


@pytest.mark.parametrize("low", [True, False])
def test_the_alarm_of_mainline_kernels(tree: SysfsTree, *, low: bool) -> None:
    (tree.root / "class/hwmon/hwmon0").mkdir(parents=True)
    tree.alarm(low=low)
    assert found(tree).added_to(PowerReading()) == PowerReading(under_voltage=low)


@pytest.mark.parametrize(
    ("bits", "under_voltage", "throttled"),
    [
        (0x0, False, False),
        (0x1, True, False),
        (0x2, False, True),
        (0x4, False, True),
        (0x8, False, True),
        (0x50005, True, True),
        (0xF0000, False, False),  # all of it was, none of it is
    ],
)
def test_the_bits_of_get_throttled(
    tree: SysfsTree, bits: int, *, under_voltage: bool, throttled: bool
) -> None:
    tree.throttled(bits)
    reading = found(tree).added_to(PowerReading(percent=5))
    assert reading == PowerReading(percent=5, under_voltage=under_voltage, throttled=throttled)


def test_either_file_s_word_is_enough(tree: SysfsTree) -> None:
    tree.throttled(0)
    tree.alarm(low=True)
    assert found(tree).added_to(PowerReading()).under_voltage is True


def test_a_file_that_stops_answering_says_nothing(tree: SysfsTree) -> None:
    tree.throttled(1)
    flags = found(tree)
    (tree.root / "devices/platform/soc/soc:firmware/get_throttled").write_text("what\n")
    assert flags.added_to(PowerReading()) == PowerReading()


def test_a_source_carries_the_flags(tree: SysfsTree) -> None:
    tree.throttled(1)
    tree.battery(percent=40)
    source = WithFlags(SysfsSource(tree.root), found(tree))
    assert source.name == "sysfs BAT0, board flags"
    assert (source.read().percent, source.read().under_voltage) == (40, True)
    alone = WithFlags(NoSource(), found(tree))
    assert (alone.name, alone.silent) == ("board flags", False)
    assert alone.read() == PowerReading(under_voltage=True, throttled=False)


def test_a_source_that_fails_fails_with_flags_too(tree: SysfsTree) -> None:
    class Broken(NoSource):
        def read(self) -> PowerReading:
            raise PowerReadError("no")

    tree.throttled(1)
    with pytest.raises(PowerReadError):
        WithFlags(Broken(), found(tree)).read()
