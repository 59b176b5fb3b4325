"""How a broker is reached, and what its failures mean.

The uplink and the MQTT intake both connect with this.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import paho.mqtt.client as paho

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.keyfile import KeyFileError, check_private_file, read_secret
from whimbrel_agent.ports import LinkFailure, TransportError

# paho turns the codes of MQTT 3.1.1 into those of MQTT 5; its own numbers stay below 128.
_SERVER_UNAVAILABLE: Final = {136, 137, 151}  # unavailable, busy, quota exceeded
_NOT_LET_IN: Final = {133, 134, 135}  # client identifier, user name or password, not authorised
_BROKE_PROTOCOL: Final = {paho.MQTT_ERR_PROTOCOL, 129, 130, 132}
_SILENT: Final = {paho.MQTT_ERR_KEEPALIVE, 141}
_CLASSES: Final = (
    (_SERVER_UNAVAILABLE, LinkFailure.OVERLOADED),
    (_NOT_LET_IN, LinkFailure.UNAUTHORISED),
    (_BROKE_PROTOCOL, LinkFailure.BAD_DATA),
    (_SILENT, LinkFailure.NO_LINK),
)


class BrokerError(Exception):
    """The broker refused, broke the protocol or said nothing.

    Attributes:
        code: paho's or MQTT's code for it; None when nobody gave one.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when the connection ends without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How a broker is reached, secrets included: never printed.

    Attributes:
        host: name or address.
        port: its port.
        keepalive_s: after so long without a packet a ping goes out; 0 for never.
        timeout_s: longest wait for the connection, and for each answer of the broker.
        client_id: the session's name at the broker.
        clean_session: whether the broker forgets the session when the connection ends.
        username: MQTT user name.
        password: its password.
        tls: how to check the broker; None for no TLS.
        socket_options: level, option, value.
        websocket_path: path of a websocket; None for plain TCP.
        websocket_headers: its HTTP headers.
        will: published when the connection breaks.
    """

    host: str
    port: int
    keepalive_s: int
    timeout_s: float
    client_id: str = ""
    clean_session: bool = True
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    socket_options: Sequence[tuple[int, int, int]] = ()
    websocket_path: str | None = None
    websocket_headers: Mapping[str, str] = field(default_factory=dict)
    will: Will | None = None


LINK_ERRORS: Final = (BrokerError, OSError, ValueError)
"""What connecting and a live connection may raise."""


def dial_to(url: BrokerUrl, access: BrokerAccess, *, keepalive_s: int | None = None) -> Dial:
    """Return how to reach a broker; files are read now, so they may have changed.

    Args:
        url: the broker.
        access: credentials and times.
        keepalive_s: in place of the configured keep-alive; None means that one.

    Raises:
        TransportError: UNAUTHORISED, when a password, key or certificate file cannot be used.
    """
    try:
        password = None
        if access.password_file is not None:
            password = read_secret(access.password_file, what="password file")
        context = _tls_context(access) if url.secure else None
    except (KeyFileError, OSError) as error:
        raise TransportError(LinkFailure.UNAUTHORISED, str(error)) from error
    keepalive_s = access.keepalive_s if keepalive_s is None else keepalive_s
    host = f"[{url.host}]" if ":" in url.host else url.host
    return Dial(
        host=url.host,
        port=url.port,
        keepalive_s=keepalive_s,
        timeout_s=access.connect_timeout_s,
        username=access.username,
        password=password,
        tls=context,
        socket_options=_socket_options(keepalive_s),
        websocket_path=url.path if url.websocket else None,
        # paho forgets IPv6's brackets
        websocket_headers={"Host": f"{host}:{url.port}"} if url.websocket else {},
    )


def failure_of(error: BaseException) -> LinkFailure:
    """Return the class of what a connection raised."""
    if isinstance(error, BrokerError):
        if error.code is None:
            return LinkFailure.NO_LINK  # for instance no answer in time
        for codes, failure in _CLASSES:
            if error.code in codes:
                return failure
        return LinkFailure.REFUSED
    if isinstance(error, ssl.SSLError):
        return LinkFailure.UNAUTHORISED
    if isinstance(error, paho.WebsocketConnectionError):
        return LinkFailure.BAD_DATA
    if isinstance(error, ConnectionError):
        return LinkFailure.REFUSED
    return LinkFailure.NO_LINK  # no route, no name, time-out: ENETUNREACH, gaierror, TimeoutError


def transport_error(error: BaseException, url: BrokerUrl) -> TransportError:
    """Return the port's error for what a connection raised."""
    return TransportError(failure_of(error), f"{url}: {error}")


def _tls_context(access: BrokerAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file)
    if access.certificate_file is not None and access.certificate_key_file is not None:
        check_private_file(access.certificate_key_file, what="certificate key file")
        context.load_cert_chain(access.certificate_file, access.certificate_key_file)
    return context


def _socket_options(keepalive_s: int) -> list[tuple[int, int, int]]:
    """Send at once, and let the kernel give up bytes that nobody acknowledges."""
    given_up_ms = int(keepalive_s * 1500)  # when a broker gives us up, by the standard
    return [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, given_up_ms),
    ]
