"""A transport that tells an account of every use; it changes nothing of what passes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from whimbrel_agent.energy.account import RadioAccount
from whimbrel_agent.ports import Clock, Delivery, Link, Transport

__all__ = ["MeteredTransport"]


class MeteredTransport:
    """Makes links of another transport, and tells of them."""

    def __init__(self, transport: Transport, account: RadioAccount, clock: Clock) -> None:
        self._transport = transport
        self._account = account
        self._clock = clock

    def use_keepalive(self, keepalive_s: int) -> None:
        """Ask for this keep-alive on links made from now on."""
        self._transport.use_keepalive(keepalive_s)

    async def connect(self, broker: int) -> Link:
        """Connect to the broker with this index."""
        link = await self._transport.connect(broker)
        self._account.linked(_now_s(self._clock))
        return _MeteredLink(link, self._account, self._clock)


class _MeteredLink:
    """One link; messages are counted with topic and payload, without MQTT's few bytes around."""

    def __init__(self, link: Link, account: RadioAccount, clock: Clock) -> None:
        self._link = link
        self._account = account
        self._clock = clock

    @property
    def dropped(self) -> int:
        """How many messages that came in were dropped."""
        return self._link.dropped

    @property
    def interface(self) -> str:
        """Name of the network interface that it goes out of."""
        return self._link.interface

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message to the broker."""
        await self._link.publish(topic, payload)
        self._account.sent(len(topic) + len(payload), _now_s(self._clock))

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield what comes in until the link ends."""
        async for delivery in self._link.deliveries():
            size_bytes = len(delivery.topic) + len(delivery.payload)
            self._account.received(size_bytes, _now_s(self._clock))
            yield delivery

    async def close(self) -> None:
        """End the connection; harmless when it broke before."""
        self._account.unlinked(_now_s(self._clock))
        await self._link.close()


def _now_s(clock: Clock) -> float:
    return clock.mono_ns() / 1e9
