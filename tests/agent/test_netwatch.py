"""Noticing that the network is back."""

from __future__ import annotations

import asyncio
import struct
import subprocess

import pytest

from servers.waiting import eventually
from whimbrel_agent.netwatch import brings_network, message_types, watch_network


def message(kind: int, body: bytes = b"") -> bytes:
    data = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return data + bytes(-len(data) % 4)


def test_messages_read_at_once_are_taken_apart() -> None:
    data = message(16, b"abc") + message(24, b"x" * 8) + message(20)
    assert list(message_types(data)) == [16, 24, 20]


@pytest.mark.parametrize("data", [b"", b"\0" * 15, b"\0" * 64, message(24)[:10]])
def test_cut_or_senseless_bytes_end_the_list(data: bytes) -> None:
    assert list(message_types(data)) == []


@pytest.mark.parametrize(("kind", "brings"), [(20, True), (24, True), (25, False), (17, False)])
def test_only_new_addresses_and_routes_bring_the_network(kind: int, *, brings: bool) -> None:
    assert brings_network(message(kind)) is brings


def ip(*words: str) -> bool:
    try:
        return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


async def test_the_kernel_s_own_message_is_noticed() -> None:
    returned: list[int] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch_network(lambda: returned.append(1)))
        await asyncio.sleep(0)
        added = ip("address", "add", "127.77.7.7/32", "dev", "lo")
        try:
            if not added:
                task.cancel()
                pytest.skip("this user may not add an address")
            await eventually(lambda: bool(returned), timeout_s=10, what="a notice")
        finally:
            ip("address", "delete", "127.77.7.7/32", "dev", "lo")
            task.cancel()
