from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.missing import missing
from whimbrel_sim.disks import SmallDisk, SmallDiskError

SIZE_BYTES = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        with SmallDisk(tmp_path / "disk", SIZE_BYTES) as small:
            yield small
    except SmallDiskError as error:
        missing(str(error))


def test_a_filled_disk_takes_nothing_until_it_is_cleared(disk: SmallDisk) -> None:
    disk.fill()
    with pytest.raises(OSError, match="No space left") as refused:
        (disk.path / "file").write_bytes(bytes(8192))
    assert refused.value.errno == errno.ENOSPC
    disk.clear()
    (disk.path / "file").write_bytes(bytes(8192))


def test_what_is_to_be_left_is_left(disk: SmallDisk) -> None:
    disk.fill(leave_bytes=SIZE_BYTES // 4)
    assert SIZE_BYTES // 8 < disk.free_bytes <= SIZE_BYTES // 4 + 4096
