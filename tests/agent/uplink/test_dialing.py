"""What errors of a connection mean."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

import pytest
from paho.mqtt.client import MQTT_ERR_CONN_LOST, MQTT_ERR_KEEPALIVE, WebsocketConnectionError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import LinkFailure, TransportError
from whimbrel_agent.uplink.dialing import BrokerError, dial_to, failure_of


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError(errno.ENETUNREACH, "unreachable"), LinkFailure.NO_LINK),
        (socket.gaierror(-3, "try again"), LinkFailure.NO_LINK),
        (TimeoutError(), LinkFailure.NO_LINK),
        (ConnectionRefusedError(), LinkFailure.REFUSED),
        (ConnectionResetError(), LinkFailure.REFUSED),
        (ssl.SSLCertVerificationError(), LinkFailure.UNAUTHORISED),
        (WebsocketConnectionError("404"), LinkFailure.BAD_DATA),
        (BrokerError("the broker did not answer in time"), LinkFailure.NO_LINK),
        (BrokerError("ended", MQTT_ERR_KEEPALIVE), LinkFailure.NO_LINK),
        (BrokerError("ended", MQTT_ERR_CONN_LOST), LinkFailure.REFUSED),
        (
            BrokerError("ended", ReasonCode(PacketTypes.DISCONNECT, identifier=130).value),
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
        dial_to(BrokerUrl.parse("mqtt://localhost"), access)
    assert caught.value.failure is LinkFailure.UNAUTHORISED


def test_an_ipv6_host_has_brackets_in_the_websocket_s_host_header() -> None:
    dial = dial_to(BrokerUrl.parse("ws://[::1]:8080/mqtt"), BrokerAccess())
    assert dial.websocket_headers == {"Host": "[::1]:8080"}


def test_a_keep_alive_may_stand_in_for_the_configured_one() -> None:
    access = BrokerAccess(keepalive_s=60)
    url = BrokerUrl.parse("mqtt://localhost")
    assert dial_to(url, access).keepalive_s == 60
    longer = dial_to(url, access, keepalive_s=600)
    assert longer.keepalive_s == 600
    assert (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 900_000) in longer.socket_options


def test_a_password_is_never_printed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame")
    secret.chmod(0o600)
    access = BrokerAccess(username="till", password_file=secret)
    dial = dial_to(BrokerUrl.parse("mqtt://localhost"), access)
    assert dial.password == "open sesame"
    assert "sesame" not in repr(dial)
