"""What the service manager is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from whimbrel_agent.systemd import MAX_STATUS_CHARACTERS, Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_states_arrive(tmp_path: Path, *, abstract: bool) -> None:
    name = f"whimbrel-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name if abstract else name})
        notifier.ready("up")
        notifier.alive("busy\nwith two lines" + "x" * 500)
        notifier.stopping()
        notifier.waiting("for charge")
        told = [manager.recv(1_000).decode() for _ in range(4)]
    assert told[0] == "READY=1\nSTATUS=up"
    assert told[1].splitlines()[0] == "WATCHDOG=1"
    assert len(told[1].splitlines()) == 2
    assert len(told[1]) <= len("WATCHDOG=1\nSTATUS=") + MAX_STATUS_CHARACTERS
    assert told[2] == "STOPPING=1\nSTATUS=stopping"
    assert told[3] == "READY=1\nWATCHDOG=1\nSTATUS=for charge"


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready("up")
    Notifier({"NOTIFY_SOCKET": "/no/such/socket"}).ready("up")


@pytest.mark.parametrize(
    ("environment", "ping_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_life_is_shown_twice_as_often_as_asked(
    environment: dict[str, str], ping_s: float | None
) -> None:
    assert Notifier(environment).ping_s == ping_s
