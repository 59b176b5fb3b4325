"""One connection to a real broker: what wakes it, how it ends, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
import selectors
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from servers.mosquitto import MosquittoServer
from servers.waiting import eventually
from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.config import BrokerAccess
from whimbrel_agent.ports import LinkFailure
from whimbrel_agent.uplink.brokerclient import BrokerClient
from whimbrel_agent.uplink.dialing import BrokerError, Dial, dial_to, failure_of

KEEPALIVES = 3
KEEPALIVE_S = 2


def dial(url: str, **more: Any) -> Dial:
    access = BrokerAccess(connect_timeout_s=5.0)
    return replace(dial_to(BrokerUrl.parse(url), access), **{"client_id": "wb-test", **more})


@asynccontextmanager
async def connected(server: MosquittoServer, **more: Any) -> AsyncIterator[BrokerClient]:
    client = BrokerClient(dial(server.url, **more))
    try:
        await client.open()
        yield client
    finally:
        client.abandon()


class CountingSelector(selectors.DefaultSelector):
    """Counts the times a loop slept and was woken: by its timers, and by its files."""

    by_timer = 0
    by_file = 0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(timeout)
        if timeout is None or timeout > 0:
            self.by_timer += not ready
            self.by_file += bool(ready)
        return ready


def run_counting(work: Callable[[CountingSelector], Coroutine[Any, Any, None]]) -> None:
    selector = CountingSelector()
    factory = lambda: asyncio.SelectorEventLoop(selector)  # noqa: E731
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work(selector))


def test_an_idle_connection_wakes_for_its_keep_alives_alone(mosquitto: MosquittoServer) -> None:
    async def idle(selector: CountingSelector) -> None:
        async with connected(mosquitto, keepalive_s=KEEPALIVE_S) as client:
            pings = 0
            misc = client._client.loop_misc

            def counted() -> Any:
                nonlocal pings
                pings += 1
                return misc()

            client._client.loop_misc = counted  # type: ignore[method-assign]
            timers, files = selector.by_timer, selector.by_file
            while pings < KEEPALIVES and not client.ended.done():  # no timer of our own: one tick
                await client_tick(client)
            assert pings == KEEPALIVES
            # a keep-alive is one timer, or two where something came between, and the pong
            assert selector.by_timer - timers <= 2 * KEEPALIVES
            assert selector.by_file - files <= KEEPALIVES
            assert not client.ended.done()

    run_counting(idle)


async def client_tick(client: BrokerClient) -> None:
    """Return when the keep-alive's present timer has gone off."""
    timer = client._timer
    while client._timer is timer:
        changed = asyncio.Event()
        after = client._keep_alive_after

        def told(delay_s: float, after: Any = after, changed: asyncio.Event = changed) -> None:
            after(delay_s)
            changed.set()

        client._keep_alive_after = told  # type: ignore[method-assign]
        try:
            async with asyncio.timeout(30):
                await changed.wait()
        finally:
            del client._keep_alive_after


async def test_the_broker_keeps_a_connection_that_only_pings(mosquitto: MosquittoServer) -> None:
    async with connected(mosquitto, keepalive_s=1) as client:
        for _ in range(4):  # it would throw us out after one and a half
            await client_tick(client)
        client.publish_now("still/here", b"x")
        assert (await client.subscribe([("a/#", 1)])) == [1]


async def test_a_broker_that_answers_no_ping_is_given_up(mosquitto: MosquittoServer) -> None:
    async with connected(mosquitto, keepalive_s=1) as client:
        client.pause_reading()  # as if nothing came any more
        async with asyncio.timeout(30):
            await asyncio.wait([client.ended])
        error = client.ended.exception()
        assert error is not None
        assert failure_of(error) is LinkFailure.NO_LINK


async def test_no_keep_alive_is_no_timer(mosquitto: MosquittoServer) -> None:
    async with connected(mosquitto, keepalive_s=0) as client:
        assert client._timer is None


async def test_a_goodbye_ends_it_without_an_error(mosquitto: MosquittoServer) -> None:
    async with connected(mosquitto) as client:
        await client.close(5.0)
        assert client.ended.done()
        assert client.ended.exception() is None
        with pytest.raises(BrokerError):
            client.publish_now("a", b"x")
        with pytest.raises(BrokerError):
            await client.subscribe([("a", 1)])
        await client.close(5.0)  # harmless when repeated


async def test_whoever_waits_for_an_answer_hears_of_the_end(mosquitto: MosquittoServer) -> None:
    async with connected(mosquitto) as client:
        client.pause_reading()  # the answer is never read
        asked = asyncio.create_task(client.subscribe([("a", 1)]))
        await asyncio.sleep(0)
        client.abandon()
        with pytest.raises(BrokerError, match="closed"):
            await asked


async def test_bytes_that_are_no_mqtt_end_it_as_bad_data() -> None:
    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes([0x20, 2, 0, 0]) + bytes([0x90, 0]))  # a welcome, an empty SUBACK
        await writer.drain()
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    async with server:
        client = BrokerClient(dial(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        await client.open()
        async with asyncio.timeout(20):
            await asyncio.wait([client.ended])
        error = client.ended.exception()
        assert error is not None
        assert failure_of(error) is LinkFailure.BAD_DATA


async def test_a_broker_that_hangs_up_before_its_welcome_is_told_at_once() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = BrokerClient(dial(url, timeout_s=3600.0))
        async with asyncio.timeout(20):
            with pytest.raises((BrokerError, ConnectionError)) as caught:
                await client.open()
        assert failure_of(caught.value) is LinkFailure.REFUSED
        client.abandon()


async def test_given_up_while_it_connects_it_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = BrokerClient(dial(f"mqtt://127.0.0.1:{mute.getsockname()[1]}"))
        task = asyncio.create_task(client.open())
        await asyncio.sleep(0)
        task.cancel()
        client.abandon()
        await asyncio.wait([task])
        peer, _ = await asyncio.to_thread(mute.accept)
        peer.settimeout(20)
        with peer:
            while await asyncio.to_thread(peer.recv, 1024):
                pass  # the other side has closed
    gc.collect()


async def test_what_comes_in_waits_while_reading_is_paused(mosquitto: MosquittoServer) -> None:
    taken: list[bytes] = []
    async with connected(mosquitto) as client, connected(mosquitto, client_id="other") as other:
        client._client.on_message = lambda _c, _u, message: taken.append(bytes(message.payload))
        await client.subscribe([("a", 1)])
        client.pause_reading()
        noise = random.Random(1).randbytes(1_000)
        other.publish_now("a", noise)
        await other.subscribe([("b", 1)])  # its answer comes after the broker took the message
        await asyncio.sleep(0)
        assert taken == []
        client.resume_reading()
        await eventually(lambda: taken == [noise], timeout_s=20, what="the message")
