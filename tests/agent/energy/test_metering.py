"""A metered transport tells of every use and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from whimbrel_agent.energy.account import RadioAccount
from whimbrel_agent.energy.metering import MeteredTransport
from whimbrel_agent.ports import Delivery, Link, LinkFailure, TransportError
from whimbrel_protocol.lanes import ClockQuality


class HandClock:
    boot_id = b"boot"

    def __init__(self) -> None:
        self.now_s = 0.0

    def wall_ns(self) -> int:
        raise AssertionError("the meter needs no wall clock")

    def mono_ns(self) -> int:
        return round(self.now_s * 1e9)

    def quality(self) -> ClockQuality:
        return ClockQuality.UNKNOWN


class ShortLink:
    dropped = 3
    interface = "wwan0"

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.closed = False

    async def publish(self, topic: str, payload: bytes) -> None:
        if not payload:
            raise TransportError(LinkFailure.NO_LINK, "gone")
        self.published.append((topic, payload))

    async def deliveries(self) -> AsyncIterator[Delivery]:
        yield Delivery("down", b"12345", retained=False)
        raise TransportError(LinkFailure.NO_LINK, "gone")

    async def close(self) -> None:
        self.closed = True


class OneTransport:
    def __init__(self, link: ShortLink) -> None:
        self.link = link
        self.keepalive_s = 0

    def use_keepalive(self, keepalive_s: int) -> None:
        self.keepalive_s = keepalive_s

    async def connect(self, broker: int) -> Link:
        if broker:
            raise TransportError(LinkFailure.REFUSED, "no")
        return self.link


async def test_uses_are_counted_with_their_bytes_and_passed_on() -> None:
    clock, inner = HandClock(), ShortLink()
    account = RadioAccount(tail_s=10, keepalive_s=60)
    transport = MeteredTransport(OneTransport(inner), account, clock)
    with pytest.raises(TransportError):
        await transport.connect(1)
    assert account.work(0).radio_wakes == 0
    link = await transport.connect(0)
    assert account.work(0).radio_wakes == 1
    clock.now_s = 20.0
    await link.publish("up", b"123")
    with pytest.raises(TransportError):
        await link.publish("up", b"")
    got = []
    with pytest.raises(TransportError, match="gone"):
        async for delivery in link.deliveries():
            got.append(delivery)  # noqa: PERF401  the error is what ends it
    assert (inner.published, len(got), link.dropped) == ([("up", b"123")], 1, 3)
    clock.now_s = 25.0
    await link.close()
    assert inner.closed
    work = account.work(1000.0)
    assert (work.bytes_up, work.bytes_down, work.frames) == (5, 9, 2)
    assert (work.radio_wakes, work.keepalive_wakes) == (2, 0)


async def test_what_it_does_not_count_is_passed_through() -> None:
    inner = OneTransport(ShortLink())
    transport = MeteredTransport(inner, RadioAccount(tail_s=10, keepalive_s=60), HandClock())
    transport.use_keepalive(600)
    assert inner.keepalive_s == 600
    assert (await transport.connect(0)).interface == "wwan0"
