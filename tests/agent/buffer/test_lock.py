"""One agent at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buffers.harness import Shop
from whimbrel_agent.buffer.values import BufferLockedError


async def test_second_agent_is_refused_with_the_owner_and_a_remedy(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer():
        with pytest.raises(BufferLockedError, match=rf"process id {os.getpid()}.*stop that agent"):
            await shop.start()
    async with shop.buffer():
        pass  # the lock ends with the buffer


async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer():
        assert open_to_others(tmp_path) == []


def open_to_others(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.stat().st_mode & 0o077]
