"""What errors of a connection mean."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.client import MQTT_ERR_CONN_LOST, MQTT_ERR_KEEPALIVE, WebsocketConnectionError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import LinkFailure, TransportError
from whimbrel_agent.uplink.dialing import client_options, failure_of


def wrapped(cause: Exception) -> BaseException:
    """An error as aiomqtt raises it: from None, inside the handler of its cause."""
    error = aiomqtt.MqttError(str(cause))
    error.__context__ = cause
    error.__suppress_context__ = True
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (wrapped(OSError(errno.ENETUNREACH, "unreachable")), LinkFailure.NO_LINK),
        (wrapped(socket.gaierror(-3, "try again")), LinkFailure.NO_LINK),
        (wrapped(TimeoutError()), LinkFailure.NO_LINK),
        (wrapped(ConnectionRefusedError()), LinkFailure.REFUSED),
        (wrapped(ConnectionResetError()), LinkFailure.REFUSED),
        (wrapped(ssl.SSLCertVerificationError()), LinkFailure.UNAUTHORISED),
        (wrapped(WebsocketConnectionError("404")), LinkFailure.BAD_DATA),
        (aiomqtt.MqttError("Operation timed out"), LinkFailure.NO_LINK),
        (aiomqtt.MqttCodeError(MQTT_ERR_KEEPALIVE), LinkFailure.NO_LINK),
        (aiomqtt.MqttCodeError(MQTT_ERR_CONN_LOST), LinkFailure.REFUSED),
        (
            aiomqtt.MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, identifier=130)),
            LinkFailure.BAD_DATA,
        ),
    ],
    ids=lambda value: value.name if isinstance(value, LinkFailure) else type(value).__name__,
)
def test_each_error_has_its_class(error: BaseException, failure: LinkFailure) -> None:
    assert failure_of(error) is failure


def test_missing_secrets_are_told_without_a_connection(tmp_path: Path) -> None:
    access = BrokerAccess(username="till", password_file=tmp_path / "none")
    with pytest.raises(TransportError, match="does not exist") as caught:
        client_options(BrokerUrl.parse("mqtt://localhost"), access)
    assert caught.value.failure is LinkFailure.UNAUTHORISED


def test_an_ipv6_host_has_brackets_in_the_websocket_s_host_header() -> None:
    options = client_options(BrokerUrl.parse("ws://[::1]:8080/mqtt"), BrokerAccess())
    assert options["websocket_headers"] == {"Host": "[::1]:8080"}
