"""How a broker is reached with aiomqtt, and what its failures mean.

The uplink and the MQTT intake both connect with this.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

import aiomqtt
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

T = TypeVar("T")


class BrokerClient(aiomqtt.Client):
    """aiomqtt's client that loses no cancellation and can be dropped at any moment."""

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the connection has ended, with the error if it broke."""
        return self._disconnected

    def abandon(self) -> None:
        """Close the socket, whatever state it is in."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._client._sock_close()  # noqa: SLF001  paho has no public way to do this

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
        # The library's own uses asyncio.wait_for, and that of Python 3.11 swallows a cancellation
        # that comes at the moment of the broker's answer: the task would go on for ever.
        limit_s = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(None if limit_s == math.inf else limit_s):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("the broker did not answer in time") from None


def client_options(url: BrokerUrl, access: BrokerAccess) -> dict[str, Any]:
    """Return keyword arguments for ``aiomqtt.Client``; files are read now, so may have changed.

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
    options: dict[str, Any] = {
        "hostname": url.host,
        "port": url.port,
        "username": access.username,
        "password": password,
        "clean_session": True,
        "keepalive": access.keepalive_s,
        "timeout": access.connect_timeout_s,
        "tls_context": context,
        "socket_options": _socket_options(access),
    }
    if url.websocket:
        host = f"[{url.host}]" if ":" in url.host else url.host
        options |= {
            "transport": "websockets",
            "websocket_path": url.path,
            "websocket_headers": {"Host": f"{host}:{url.port}"},  # paho forgets IPv6's brackets
        }
    return options


def failure_of(error: BaseException) -> LinkFailure:
    """Return the class of what aiomqtt raised, by its code or by the error underneath."""
    if isinstance(error, aiomqtt.MqttCodeError):
        code = getattr(error.rc, "value", error.rc)
        for codes, failure in _CLASSES:
            if code in codes:
                return failure
        return LinkFailure.REFUSED
    # aiomqtt raises "from None", which hides the cause from people but keeps it as the context.
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError):
        return LinkFailure.UNAUTHORISED
    if isinstance(cause, paho.WebsocketConnectionError):
        return LinkFailure.BAD_DATA
    if isinstance(cause, ConnectionError):
        return LinkFailure.REFUSED
    return LinkFailure.NO_LINK  # no route, no name, time-out: ENETUNREACH, gaierror, TimeoutError


def transport_error(error: BaseException, url: BrokerUrl) -> TransportError:
    """Return the port's error for what aiomqtt raised."""
    return TransportError(failure_of(error), f"{url}: {error}")


def _tls_context(access: BrokerAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file)
    if access.certificate_file is not None and access.certificate_key_file is not None:
        check_private_file(access.certificate_key_file, what="certificate key file")
        context.load_cert_chain(access.certificate_file, access.certificate_key_file)
    return context


def _socket_options(access: BrokerAccess) -> list[tuple[int, int, int]]:
    """Send at once, and let the kernel give up bytes that nobody acknowledges."""
    given_up_ms = int(access.keepalive_s * 1500)  # when a broker gives us up, by the standard
    return [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, given_up_ms),
    ]
