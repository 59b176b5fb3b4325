"""Broker URLs."""

from __future__ import annotations

import pytest

from whimbrel_agent.brokers import BrokerUrl, BrokerUrlError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("mqtt://host", BrokerUrl("mqtt", "host", 1883)),
        ("mqtts://host/", BrokerUrl("mqtts", "host", 8883)),
        ("mqtt://[2001:db8::1]:2000", BrokerUrl("mqtt", "2001:db8::1", 2000)),
        ("ws://host", BrokerUrl("ws", "host", 80, "/mqtt")),
        ("wss://host:9001/other", BrokerUrl("wss", "host", 9001, "/other")),
    ],
)
def test_urls_are_read_and_written(text: str, url: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == url
    assert BrokerUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host:1883", "has scheme 'host'"),
        ("tcp://host", "has scheme 'tcp'"),
        ("mqtt://", "names no host"),
        ("mqtt://host:99999", "is not a URL"),
        ("mqtt://host:0", "port 0"),
        ("mqtt://host/path", "must end after the port"),
        ("mqtt://[::1", "is not a URL"),
        ("ws://host/mqtt?x=1", "must end after the port"),
        ("mqtt://till:secret@host", "password_file"),
    ],
)
def test_what_is_no_broker_is_refused(text: str, said: str) -> None:
    with pytest.raises(BrokerUrlError) as caught:
        BrokerUrl.parse(text)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_bad_url_s_password_is_not_shown() -> None:
    with pytest.raises(BrokerUrlError) as caught:
        BrokerUrl.parse("tcp://till:secret@host")
    assert "secret" not in str(caught.value)


def test_security_and_transport_follow_the_scheme() -> None:
    facts = {s: BrokerUrl.parse(f"{s}://h") for s in ("mqtt", "mqtts", "ws", "wss")}
    assert [url.secure for url in facts.values()] == [False, True, False, True]
    assert [url.websocket for url in facts.values()] == [False, False, True, True]
