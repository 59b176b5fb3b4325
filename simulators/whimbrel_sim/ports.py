"""Loopback ports for processes that are killed and come back.

Not "bind to 0 and let go": such a port is in the range from which the kernel takes the near end of
outgoing connections, so while its process is down a client's connection may be given it, or a
client that retries may even connect to itself. Ports below that range stay ours.
"""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path
from typing import Final

FIRST_PORT: Final = 15_000
DEFAULT_EPHEMERAL_START: Final = 32_768
"""Linux's default start of the ephemeral range, where the kernel does not tell."""

_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _ephemeral_start() -> int:
    if _EPHEMERAL_RANGE.exists():
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    return DEFAULT_EPHEMERAL_START


_SPAN: Final = max(1_000, _ephemeral_start() - FIRST_PORT)
# Runs side by side start at different places, so that they seldom look at the same port.
_offsets = itertools.count(os.getpid() * 97)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on and that this process has not handed out.

    Raises:
        RuntimeError: there is none.
    """
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
