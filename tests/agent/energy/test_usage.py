"""Counters from files as the kernel writes them, and from this kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whimbrel_agent.energy.usage import KernelUsage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    disk = tmp_path / "sys" / "devices" / "mmcblk0"
    partition = disk / "mmcblk0p2"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("2\n")
    (disk / "stat").write_text("  10 0 80 5 20 0 4000 9 0 14 14 0 0 0 0 0 0\n")
    (partition / "stat").write_text("  10 0 80 5 20 0 1 9 0 14 14 0 0 0 0 0 0\n")
    links = tmp_path / "sys" / "dev" / "block"
    links.mkdir(parents=True)
    (links / "179:0").symlink_to(disk)
    (links / "179:2").symlink_to(partition)
    return tmp_path


def usage(root: Path, device: tuple[int, int] = (179, 2)) -> KernelUsage:
    return KernelUsage(root, root=root, device=device)


def test_processor_time_is_user_and_system_whatever_the_programs_name(root: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = f"S 1 2 3 0 -1 4194560 9 0 0 0 {3 * ticks} {2 * ticks} 0 0 20 0 1 0 7 8 9"
    (root / "proc" / "self" / "stat").write_text(f"42 (a) b (c) {fields}\n")
    assert usage(root).cpu_s() == 5.0


def test_written_bytes_are_those_that_were_not_cancelled(root: Path) -> None:
    (root / "proc" / "self" / "io").write_text(
        "rchar: 9\nwchar: 99\nread_bytes: 0\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n"
    )
    assert usage(root).written_bytes() == 4096


@pytest.mark.parametrize("device", [(179, 0), (179, 2)])
def test_the_whole_disk_is_counted_from_any_of_its_partitions(
    root: Path, device: tuple[int, int]
) -> None:
    assert usage(root, device).disk_written_bytes() == 4000 * 512


def test_what_is_not_there_or_not_understood_is_unknown(root: Path) -> None:
    none = usage(root, (0, 44))
    assert (none.cpu_s(), none.written_bytes(), none.disk_written_bytes()) == (None, None, None)
    (root / "proc" / "self" / "stat").write_text("42 (x)\n")
    (root / "proc" / "self" / "io").write_text("wchar: 1\n")
    (root / "sys" / "devices" / "mmcblk0" / "stat").write_text("1 2\n")
    odd = usage(root)
    assert (odd.cpu_s(), odd.written_bytes(), odd.disk_written_bytes()) == (None, None, None)
    assert KernelUsage(root / "none", root=root).disk_written_bytes() is None


def test_this_kernel_counts_processor_time(tmp_path: Path) -> None:
    here = KernelUsage(tmp_path)
    before = here.cpu_s()
    assert before is not None
    total = 0
    while (here.cpu_s() or 0) < before + 0.05:
        total += sum(range(1000))
    assert total > 0
