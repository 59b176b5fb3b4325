"""Tells systemd that we are ready and alive: sd_notify(3)'s protocol, a few lines of our own."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

MAX_STATUS_CHARACTERS: Final = 200
"""systemctl shows one line."""


class Notifier:
    """Sends states to the service manager; does nothing when there is none."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        settings = os.environ if environment is None else environment
        self._address = settings.get("NOTIFY_SOCKET", "")
        interval = settings.get("WATCHDOG_USEC", "")
        for_us = settings.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watchdog_s = int(interval) / 1e6 if interval.isdecimal() and for_us else None

    @property
    def ping_s(self) -> float | None:
        """How often to send a sign of life (half of what is asked for), None for never."""
        return None if self._watchdog_s is None else self._watchdog_s / 2

    def ready(self, status: str) -> None:
        """Say that start-up is done."""
        self._send("READY=1", _status(status))

    def waiting(self, status: str) -> None:
        """Say that the start goes on only when something has come true, and that we live."""
        self._send("READY=1", "WATCHDOG=1", _status(status))

    def alive(self, status: str) -> None:
        """Say that we work, and on what."""
        self._send("WATCHDOG=1", _status(status))

    def stopping(self) -> None:
        """Say that the stop has begun."""
        self._send("STOPPING=1", _status("stopping"))

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # An "@" in front stands for the NUL of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto("\n".join(lines).encode(), address)
            except OSError:
                return  # the manager went away; it will notice by itself


def _status(text: str) -> str:
    return "STATUS=" + text.replace("\n", " ")[:MAX_STATUS_CHARACTERS]
