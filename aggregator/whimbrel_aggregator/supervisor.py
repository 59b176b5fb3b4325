"""Telling systemd how we are (sd_notify): ready, stopping, alive. Silent without systemd."""

from __future__ import annotations

import os
import socket


class Supervisor:
    """The service manager that started us, if one did."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        given = dict(os.environ) if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        watchdog = given.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog) / 1e6 if watchdog.isdigit() else None

    def tell(self, state: str) -> None:
        """Send a state such as ``READY=1``; a supervisor that does not listen is no failure."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.setblocking(False)
            try:
                link.sendto(state.encode(), address)
            except OSError:
                self._address = ""  # it is gone: do not try with every beat
