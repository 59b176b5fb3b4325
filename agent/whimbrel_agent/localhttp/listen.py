"""Listening sockets: loopback TCP, and Unix sockets that only the owner may open."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Final

from whimbrel_protocol.errors import WhimbrelError

__all__ = ["ListenError", "listen_tcp", "listen_unix", "remove_unix"]

BACKLOG: Final = 64
"""Connections the kernel holds while the loop is busy; a burst of tills, not a crowd."""

_PROBE_TIMEOUT_S: Final = 1.0


class ListenError(WhimbrelError):
    """A local address cannot be listened on."""


def listen_tcp(host: str, port: int) -> socket.socket:
    """Bind and listen on a loopback address; port 0 takes a free one.

    Raises:
        ListenError: not loopback, in use, or not allowed.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as exc:
        raise ListenError(f"listen address is {host!r}: must be a loopback address") from exc
    if not parsed.is_loopback:
        raise ListenError(f"listen address is {host!r}: must be a loopback address")
    family = socket.AF_INET6 if parsed.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ListenError(f"cannot listen on {host} port {port}: {exc.strerror}") from exc
    listener.setblocking(False)
    return listener


def listen_unix(path: Path) -> socket.socket:
    """Bind and listen on a Unix socket with mode 0600; a dead one in its place is removed.

    Raises:
        ListenError: another process listens there, something else lies there, or no access.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment: chmod after bind would leave a door open.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise ListenError(f"cannot listen on {path}: {exc.strerror or exc}") from exc
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def remove_unix(path: Path) -> None:
    """Remove the socket file; harmless when it is gone."""
    path.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ListenError(f"cannot look at {path}: {exc.strerror}") from exc
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path} exists and is no socket: move it away or set another path")
    if _answers(path):
        raise ListenError(f"another process listens on {path}: stop it or set another path")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError as exc:
            # refused or gone: nobody is behind it; anything else (no access, timeout): somebody is
            return exc.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True
