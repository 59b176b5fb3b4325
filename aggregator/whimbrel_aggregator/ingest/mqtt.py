"""The transport: MQTT 3.1.1 over aiomqtt, clean sessions, one broker of a list at a time.

Messages go from the client's callback straight into ingest's bounded queue, answers leave
without waiting for a PUBACK: neither side's acknowledgements mean anything to us, since
receipts decide. Subscribing at QoS 0 is the default for the same reason. Answers are
published at QoS 1, so that a broker delivers them at the QoS that the agent asked for, and
the client's own queue of them is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import aiomqtt
import paho.mqtt.client as paho

from whimbrel_aggregator.config import BrokerConfig, BrokerUrl
from whimbrel_aggregator.logs import Streak
from whimbrel_aggregator.ports import Clock, Random
from whimbrel_aggregator.secretfile import read_secret
from whimbrel_protocol.errors import WhimbrelError
from whimbrel_protocol.topics import up_filters

from .admission import Delivery
from .counters import Counters

MAX_UNACKNOWLEDGED: Final = 4_096
"""Answers handed to the client and not acknowledged by the broker: 8 MB if each names a full
receipt. More are dropped and counted; their frames come again and are receipted again."""

CONNECT_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
FIRST_RETRY_S: Final = 0.2
MAX_RETRY_S: Final = 15.0
"""A region's broker is near; devices wait for us, so the longest pause is short."""

_QOS_OF_ANSWERS: Final = 1
_REFUSED_SUBSCRIPTION: Final = 0x80

_log = logging.getLogger("whimbrel.ingest.mqtt")

T = TypeVar("T")


class SubscriptionRefusedError(WhimbrelError):
    """The broker does not let us listen."""

    def __init__(self, url: BrokerUrl) -> None:
        super().__init__(f"{url} refused a subscription; check the broker's access rules")


class _Client(aiomqtt.Client):
    """aiomqtt's client, handing messages on at once and publishing without waiting."""

    def __init__(self, take: Callable[[paho.MQTTMessage], None], **options: Any) -> None:
        super().__init__(**options)
        self._client.on_message = lambda _client, _userdata, message: take(message)
        self._client.max_inflight_messages_set(0)  # no bound but that of the queue
        self._client.max_queued_messages_set(MAX_UNACKNOWLEDGED)

    def publish_now(self, topic: str, payload: bytes) -> bool:
        info = self._client.publish(topic, payload, _QOS_OF_ANSWERS)
        return info.rc == paho.MQTT_ERR_SUCCESS

    async def ended(self) -> None:
        """Wait until the connection ends; raises what broke it."""
        await asyncio.shield(self._disconnected)

    def abandon(self) -> None:
        """Close the socket, whatever state it is in."""
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._client._sock_close()  # noqa: SLF001 - paho has no public way to do this

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
        # The library's own uses asyncio.wait_for, and that of Python 3.11 swallows a cancellation
        # that comes at the moment of the broker's answer: the task would go on for ever.
        limit_s = self.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(None if limit_s == math.inf else limit_s):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("the broker did not answer in time") from None


class MqttFeed:
    """Feeds ingest from the brokers and takes its answers back."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        region: str,
        offer: Callable[[Delivery], bool],
        clock: Clock,
        random: Random,
        counters: Counters,
    ) -> None:
        self._config = config
        self._offer = offer
        self._clock = clock
        self._random = random
        self._counters = counters
        self._client: _Client | None = None
        self._client_id = config.client_id or f"wb-region-{region}-{random.randbytes(4).hex()}"
        self.connected = ""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand an answer to the client; False when it was dropped."""
        client = self._client
        if client is None:
            return False
        try:
            return client.publish_now(topic, payload)
        except (OSError, ValueError) as error:
            _log.debug("answer was dropped: %s", error)
            return False

    async def run(self) -> None:
        """Stay connected until cancelled."""
        streak = Streak(_log)
        wait_s, turn = FIRST_RETRY_S, 0
        while True:
            url = self._config.urls[turn % len(self._config.urls)]
            try:
                await self._session(url, streak)
                raise ConnectionError(f"{url} closed the connection")
            except (aiomqtt.MqttError, OSError, ValueError, WhimbrelError) as error:
                self._counters.add("links_lost")
                streak.failed("no link to the broker", broker=str(url), error=str(error))
                if self.connected:
                    wait_s, turn = FIRST_RETRY_S, -1  # it did work: begin with the first again
                self.connected = ""
            turn += 1
            # decorrelated jitter: aggregators that lost one broker do not come back in step
            wait_s = min(MAX_RETRY_S, FIRST_RETRY_S + self._random.random() * (wait_s * 3))
            await asyncio.sleep(wait_s)

    async def _session(self, url: BrokerUrl, streak: Streak) -> None:
        options = await asyncio.to_thread(_options, url, self._config)
        client = _Client(self._take, identifier=self._client_id, **options)
        try:
            await client.__aenter__()
            qos: int = self._config.qos
            granted = await client.subscribe(
                [(one, qos) for one in up_filters(self._config.partitions)]
            )
            if any(getattr(code, "value", code) >= _REFUSED_SUBSCRIPTION for code in granted):
                raise SubscriptionRefusedError(url)
            self._client, self.connected = client, str(url)
            self._counters.add("links_made")
            streak.recovered("link to the broker is up", broker=str(url))
            await client.ended()
        finally:
            self._client = None
            await _close(client)

    def _take(self, message: paho.MQTTMessage) -> None:
        self._offer(
            Delivery(message.topic, bytes(message.payload), message.retain, self._clock.wall_ns())
        )


async def _close(client: _Client) -> None:
    """Say goodbye if the link still stands, then close the socket."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, TimeoutError, OSError) as error:
        _log.debug("link was not closed in an orderly way: %s", error)
    finally:
        client.abandon()


def _options(url: BrokerUrl, config: BrokerConfig) -> dict[str, Any]:
    """Return aiomqtt's options; reads files, so not for the loop."""
    options: dict[str, Any] = {
        "hostname": url.host,
        "port": url.port,
        "protocol": aiomqtt.ProtocolVersion.V311,
        "clean_session": True,
        "keepalive": config.keepalive_s,
        "timeout": CONNECT_TIMEOUT_S,
        "transport": "websockets" if url.websocket else "tcp",
    }
    if url.websocket:
        host = f"[{url.host}]" if ":" in url.host else url.host
        options["websocket_path"] = url.path
        options["websocket_headers"] = {"Host": f"{host}:{url.port}"}  # paho forgets the brackets
    if config.username:
        options["username"] = config.username
    if config.password_file is not None:
        options["password"] = read_secret(config.password_file)
    if url.tls:
        cafile = None if config.ca_file is None else str(config.ca_file)
        options["tls_context"] = ssl.create_default_context(cafile=cafile)
    return options
