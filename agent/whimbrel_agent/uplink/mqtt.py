"""The transport port over MQTT 3.1.1.

Publishing at QoS 1 does not wait for the PUBACK, which means nothing to us: receipts decide. The
queue of incoming messages is bounded; what does not fit is dropped and counted, for the same
reason.

Each process uses a client id of its own (``wb-tenant-store-device-`` and eight random hex
digits): two clones of one card with one client id would throw each other out at the broker for
ever, and a connection left over from a crash costs the broker one keep-alive at most.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import paho.mqtt.client as paho

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import Delivery, Link, LinkFailure, Random, TransportError
from whimbrel_agent.uplink.brokerclient import BrokerClient
from whimbrel_agent.uplink.dialing import LINK_ERRORS, Dial, Will, dial_to, transport_error
from whimbrel_agent.uplink.interfaces import interface_of
from whimbrel_protocol.names import Address
from whimbrel_protocol.topics import birth_topic, down_filter

MAX_WAITING_DELIVERIES: Final = 512
"""Down messages that wait to be read: two full windows of receipts for one frame each."""

CLOSE_TIMEOUT_S: Final = 2.0
"""An orderly DISCONNECT waits so long for a socket that takes no more bytes."""

_QOS: Final = 1
_REFUSED_SUBSCRIPTION: Final = 0x80


class _PipelinedClient(BrokerClient):
    """A connection with a bounded inbox."""

    def __init__(self, dial: Dial) -> None:
        super().__init__(dial)
        self.inbox: deque[Delivery] = deque()
        self.dropped = 0
        self.changed = asyncio.Event()
        self._client.on_message = self._take
        # Zero means no bound of paho's own: the session's window bounds what is in flight.
        self._client.max_inflight_messages = 0
        self.ended.add_done_callback(lambda _: self.changed.set())

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
        self.interface = interface_of(client.local_address())

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
        except LINK_ERRORS as error:
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
        await self._client.close(CLOSE_TIMEOUT_S)

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
        self._keepalive_s = access.keepalive_s
        self._filters = tuple(filters or [down_filter(address)])
        self._birth_topic = birth_topic(address)
        suffix = f"{random.getrandbits(32):08x}"
        self.client_id = f"wb-{address.tenant}-{address.store}-{address.device}-{suffix}"

    def use_keepalive(self, keepalive_s: int) -> None:
        """Ask for this keep-alive on every connection made from now on; 0 asks for none."""
        self._keepalive_s = keepalive_s

    async def connect(self, broker: int) -> Link:
        """Connect, subscribe to our down topics and publish a birth.

        Raises:
            TransportError: with the class of what went wrong.
        """
        url = self._brokers[broker]
        loop = asyncio.get_running_loop()
        dial = partial(dial_to, url, self._access, keepalive_s=self._keepalive_s)
        client = _PipelinedClient(
            replace(
                await loop.run_in_executor(None, dial),
                client_id=self.client_id,
                will=Will(self._birth_topic, self._birth("offline")),
            )
        )
        try:
            await client.open()
            await self._greet(client, url)
        except BaseException as error:
            client.abandon()
            if isinstance(error, LINK_ERRORS):
                raise transport_error(error, url) from error
            raise
        return MqttLink(client, url)

    async def _greet(self, client: _PipelinedClient, url: BrokerUrl) -> None:
        granted = await client.subscribe([(filter_, _QOS) for filter_ in self._filters])
        if any(code >= _REFUSED_SUBSCRIPTION for code in granted):
            raise TransportError(
                LinkFailure.UNAUTHORISED,
                f"{url}: subscription to {', '.join(self._filters)} was refused",
            )
        client.publish_now(self._birth_topic, self._birth("online"), qos=0)

    def _birth(self, state: str) -> bytes:
        return json.dumps({"state": state, "client": self.client_id}).encode()
