from __future__ import annotations

import socket
from pathlib import Path

from whimbrel_aggregator.supervisor import Supervisor


def test_states_reach_the_socket_that_the_supervisor_named(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        supervisor = Supervisor({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000"})
        assert supervisor.watchdog_s == 3
        supervisor.tell("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_without_a_supervisor_nothing_happens(tmp_path: Path) -> None:
    Supervisor({}).tell("READY=1")
    gone = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.tell("READY=1")
    gone.tell("WATCHDOG=1")
    assert Supervisor({}).watchdog_s is None
