"""Loopback ports for servers that are killed and come back.

Not "bind to 0 and let go": such a port is in the range from which the kernel takes the near end of
outgoing connections, so while the server is down a client's connection may be given it, or a
client that retries may even connect to itself. Ports below that range stay ours.
"""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

FIRST_PORT = 15_000
# Linux's default start of the ephemeral range, where the kernel does not tell.
DEFAULT_EPHEMERAL_START = 32_768
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _ephemeral_start() -> int:
    if _EPHEMERAL_RANGE.exists():
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    return DEFAULT_EPHEMERAL_START


_SPAN = max(1_000, _ephemeral_start() - FIRST_PORT)
# Test runs side by side start at different places, so that they seldom look at the same port.
_offsets = itertools.count(os.getpid() * 97)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port on ``host`` that nobody listens on and that this process has not handed out."""
    for offset in itertools.islice(_offsets, _SPAN):
        port = FIRST_PORT + offset % _SPAN
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port on {host} from {FIRST_PORT} to {FIRST_PORT + _SPAN}")
