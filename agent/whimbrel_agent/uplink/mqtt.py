"""The transport port over MQTT 3.1.1: aiomqtt, made to pipeline.

Publishing at QoS 1 does not wait for the PUBACK, which means nothing to us: receipts decide. The
queue of incoming messages is bounded; what does not fit is dropped and counted, for the same
reason.

Each process uses a client id of its own (``wb-tenant-store-device-`` and eight random hex
digits): two clones of one card with one client id would throw each other out at the broker for
ever, and a connection left over from a crash costs the broker one keep-alive at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiomqtt
import paho.mqtt.client as paho

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import Delivery, Link, LinkFailure, Random, TransportError
from whimbrel_agent.uplink.dialing import BrokerClient, client_options, transport_error
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import birth_topic, down_filter

MAX_WAITING_DELIVERIES: Final = 512
"""Down messages that wait to be read: two full windows of receipts for one frame each."""

CLOSE_TIMEOUT_S: Final = 2.0
"""An orderly DISCONNECT waits so long for a socket that takes no more bytes."""

_QOS: Final = 1
_REFUSED_SUBSCRIPTION: Final = 0x80


class _PipelinedClient(BrokerClient):
    """aiomqtt's client with a publish that does not wait, and a bounded inbox of our own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inbox: deque[Delivery] = deque()
        self.dropped = 0
        self.changed = asyncio.Event()
        self._client.on_message = self._take
        # Zero means no bound of paho's own: the session's window bounds what is in flight.
        self._client.max_inflight_messages_set(0)
        self._client.connect_timeout = self.timeout
        self._disconnected.add_done_callback(lambda _: self.changed.set())

    def publish_now(self, topic: str, payload: bytes, qos: int = _QOS) -> None:
        info = self._client.publish(topic, payload, qos)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")

    def _take(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        if len(self.inbox) >= MAX_WAITING_DELIVERIES:
            self.dropped += 1
            return
        self.inbox.append(Delivery(message.topic, bytes(message.payload), message.retain))
        self.changed.set()


class MqttLink:
    """One live connection. Made by :class:`MqttTransport`."""

    def __init__(self, client: _PipelinedClient, url: BrokerUrl) -> None:
        self._client = client
        self._url = url

    @property
    def dropped(self) -> int:
        """Messages dropped since the queue of incoming ones was full."""
        return self._client.dropped

    async def publish(self, topic: str, payload: bytes) -> None:
        """Queue one message at QoS 1. Raises TransportError when the link is gone."""
        if self._client.ended.done():
            raise self._end()
        try:
            self._client.publish_now(topic, payload)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise transport_error(error, self._url) from error

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield what comes in; raises TransportError when the link broke."""
        client = self._client
        while True:
            while client.inbox:
                yield client.inbox.popleft()
            if client.ended.done():
                raise self._end()
            client.changed.clear()
            await client.changed.wait()

    async def close(self) -> None:
        """Say goodbye to the broker, then close the socket."""
        with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._client.__aexit__(None, None, None)
        self._client.abandon()

    def _end(self) -> TransportError:
        error = self._client.ended.exception()
        if error is None:
            return TransportError(LinkFailure.REFUSED, f"{self._url}: connection was closed")
        return transport_error(error, self._url)


class MqttTransport:
    """Connects to one of a list of brokers at a time, for one device."""

    def __init__(
        self,
        brokers: Sequence[BrokerUrl],
        access: BrokerAccess,
        address: Address,
        random: Random,
        *,
        filters: Sequence[str] | None = None,
    ) -> None:
        self._brokers = tuple(brokers)
        self._access = access
        self._filters = tuple(filters or [down_filter(address)])
        self._birth_topic = birth_topic(address)
        suffix = f"{random.getrandbits(32):08x}"
        self.client_id = f"wb-{address.tenant}-{address.store}-{address.device}-{suffix}"

    async def connect(self, broker: int) -> Link:
        """Connect, subscribe to our down topics and publish a birth.

        Raises:
            TransportError: with the class of what went wrong.
        """
        url = self._brokers[broker]
        loop = asyncio.get_running_loop()
        options = await loop.run_in_executor(None, client_options, url, self._access)
        client = _PipelinedClient(
            identifier=self.client_id,
            will=aiomqtt.Will(self._birth_topic, self._birth("offline"), qos=0),
            **options,
        )
        try:
            await client.__aenter__()
            await self._greet(client, url)
        except BaseException as error:
            client.abandon()
            if isinstance(error, aiomqtt.MqttError | OSError | ValueError):
                raise transport_error(error, url) from error
            raise
        return MqttLink(client, url)

    async def _greet(self, client: _PipelinedClient, url: BrokerUrl) -> None:
        granted = await client.subscribe([(filter_, _QOS) for filter_ in self._filters])
        if any(getattr(code, "value", code) >= _REFUSED_SUBSCRIPTION for code in granted):
            raise TransportError(
                LinkFailure.UNAUTHORISED,
                f"{url}: subscription to {', '.join(self._filters)} was refused",
            )
        client.publish_now(self._birth_topic, self._birth("online"), qos=0)

    def _birth(self, state: str) -> bytes:
        return json.dumps({"state": state, "client": self.client_id}).encode()
