"""What every MQTT broker under test offers, whichever program it is."""

from __future__ import annotations

import socket
import ssl
from abc import abstractmethod

from servers.process import ServerProcess

PROBE_TIMEOUT_S = 1.0
_CONNACK = 0x20
_HELLO = (
    b"\x10\x11"  # CONNECT, 17 bytes follow
    b"\x00\x04MQTT\x04"  # MQTT 3.1.1
    b"\x02\x00\x0a"  # clean session, keep-alive 10 s
    b"\x00\x05probe"
)


class BrokerProcess(ServerProcess):
    """A broker speaking MQTT 3.1.1 on ``port``."""

    #: Whether wills, client takeover and overlapping filters work as the standard says.
    faithful = True

    @property
    @abstractmethod
    def tls_only(self) -> bool:
        """Whether ``port`` itself speaks TLS."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls_only else 'mqtt'}://{host}:{self.port}"

    def is_ready(self) -> bool:
        """Whether a CONNECT is answered, be it with a refusal: NATS listens before it can serve."""
        try:
            with (
                socket.create_connection((self.host, self.port), PROBE_TIMEOUT_S) as plain,
                self._secured(plain) as connection,
            ):
                connection.sendall(_HELLO)
                return connection.recv(1) == bytes([_CONNACK])
        except OSError:
            return False

    def _secured(self, plain: socket.socket) -> socket.socket:
        if not self.tls_only:
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # a look at whether it answers, not at who it is
        return context.wrap_socket(plain)
