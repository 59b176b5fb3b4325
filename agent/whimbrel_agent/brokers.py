"""Broker URLs: which scheme, host and port a broker is reached by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from whimbrel_protocol.errors import LocalProtocolError

Scheme = Literal["mqtt", "mqtts", "ws", "wss"]

DEFAULT_PORTS: Final[dict[Scheme, int]] = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_WEBSOCKET_PATH: Final = "/mqtt"
"""What EMQX, RabbitMQ and the cloud brokers serve; Mosquitto takes any path."""


class BrokerUrlError(LocalProtocolError):
    """A text is not the URL of an MQTT broker."""


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where one broker listens. ``host`` has no brackets, also when it is an IPv6 literal.

    ``path`` is that of the WebSocket, empty for plain MQTT.
    """

    scheme: Scheme
    host: str
    port: int
    path: str = ""

    @property
    def secure(self) -> bool:
        """Whether the connection is inside TLS."""
        return self.scheme in ("mqtts", "wss")

    @property
    def websocket(self) -> bool:
        """Whether MQTT goes through a WebSocket."""
        return self.scheme in ("ws", "wss")

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """Read ``mqtt://host:1883``, ``mqtts://``, ``ws://host/path`` or ``wss://``.

        Raises:
            BrokerUrlError: another scheme, no host, a bad port, or a part that does not belong
                there; user names and passwords have settings of their own.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BrokerUrlError(f"{_shown(text)} is not a URL: {error}") from error
        scheme = _scheme(parts.scheme, text)
        if parts.username is not None or parts.password is not None:
            raise BrokerUrlError(
                f"URL of broker {host} carries a user or password; "
                "use the settings username and password_file"
            )
        if not host:
            raise BrokerUrlError(f"{_shown(text)} names no host; write {scheme}://host:port")
        if port == 0:
            raise BrokerUrlError(f"{_shown(text)} has port 0, must be 1 to 65535")
        websocket = scheme in ("ws", "wss")
        if parts.query or parts.fragment or (not websocket and parts.path not in ("", "/")):
            raise BrokerUrlError(f"{_shown(text)} must end after the port")
        path = (parts.path or DEFAULT_WEBSOCKET_PATH) if websocket else ""
        return cls(scheme, host, port or DEFAULT_PORTS[scheme], path)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def _scheme(scheme: str, text: str) -> Scheme:
    for known in DEFAULT_PORTS:
        if scheme == known:
            return known
    raise BrokerUrlError(
        f"{_shown(text)} has scheme {scheme!r} (known: {', '.join(DEFAULT_PORTS)})"
    )


def _shown(text: str) -> str:
    """Show a URL without what may be a password in front of the host."""
    scheme, mark, rest = text.partition("://")
    return repr((scheme + mark + rest.rpartition("@")[2])[:100])
