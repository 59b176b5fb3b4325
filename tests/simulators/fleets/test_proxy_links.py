"""What the proxy does to bytes and connections, seen from real sockets at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from servers.ports import free_port
from servers.waiting import eventually
from whimbrel_sim.fleets.channel import MAX_QUEUED_BYTES
from whimbrel_sim.fleets.faultfile import parse_scenario
from whimbrel_sim.fleets.links import GOOD_LINK, Door, Link, Way
from whimbrel_sim.fleets.timeline import play_scenario
from whimbrel_sim.proxy import PORTAL_PAGE, Proxy

TIMEOUT_S = 20.0
SILENCE_S = 0.3


class Echo:
    """A far end that sends back what comes, and remembers what became of its connections."""

    def __init__(self) -> None:
        self.port = free_port()
        self.got = bytearray()
        self.opened = 0
        self.ended = 0
        self.answers = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        with suppress(OSError):
            while data := await reader.read(65536):
                self.got += data
                if self.answers:
                    writer.write(data)
                await writer.drain()
        self.ended += 1
        writer.close()


@asynccontextmanager
async def proxied(link: Link = GOOD_LINK) -> AsyncIterator[tuple[Proxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", echo.port)
    proxy = Proxy(
        port=free_port(), broker_host="127.0.0.1", broker_port=echo.port,
        random=Random(5), link=link, mqtt=False,
    )  # fmt: skip
    try:
        async with proxy, asyncio.timeout(TIMEOUT_S):
            yield proxy, echo
    finally:
        server.close()


opened: list[asyncio.StreamWriter] = []


@pytest.fixture(autouse=True)
async def _close_what_was_opened() -> AsyncIterator[None]:
    yield
    while opened:
        opened.pop().transport.abort()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    opened.append(writer)
    return reader, writer


async def echoed(proxy: Proxy, data: bytes) -> bytes:
    reader, writer = await connect(proxy)
    writer.write(data)
    answer = await reader.readexactly(len(data))
    writer.close()
    return answer


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SILENCE_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_any_bytes_pass_a_good_link_unchanged() -> None:
    data = Random(1).randbytes(300_000)
    async with proxied() as (proxy, echo):
        assert await echoed(proxy, data) == data
        assert proxy.counts["up.bytes"] == proxy.counts["down.bytes"] == len(data)
        await eventually(lambda: echo.ended == 1, timeout_s=TIMEOUT_S, what="the goodbye")


async def test_a_delayed_stream_keeps_its_order_and_its_end() -> None:
    data = Random(2).randbytes(200_000)
    async with proxied(Link(up=Way(delay_s=0.02, jitter_s=0.05))) as (proxy, echo):
        echo.answers = False
        _, writer = await connect(proxy)
        for at in range(0, len(data), 20_000):
            writer.write(data[at : at + 20_000])
            await writer.drain()
        writer.close()
        await eventually(lambda: echo.ended == 1, timeout_s=TIMEOUT_S, what="the goodbye")
        assert bytes(echo.got) == data
        assert proxy.counts["up.chunks_delayed"] > 0
        assert proxy.counts["down.chunks_delayed"] == 0


async def test_a_narrow_link_lets_bytes_through_at_its_pace_and_bounds_what_waits() -> None:
    async with proxied(Link(up=Way(bytes_per_s=400_000))) as (proxy, echo):
        _, writer = await connect(proxy)
        writer.write(bytes(4 * MAX_QUEUED_BYTES))
        await eventually(lambda: bool(echo.got), timeout_s=TIMEOUT_S, what="the first bytes")
        assert len(echo.got) < MAX_QUEUED_BYTES  # the rest waits, most of it at the sender
        writer.transport.abort()


async def test_flipped_bits_arrive_as_other_bytes_of_the_same_number() -> None:
    data = bytes(1000)
    async with proxied(Link(up=Way(flip=1.0))) as (proxy, _):
        answer = await echoed(proxy, data)
        assert len(answer) == len(data)
        assert sum(byte.bit_count() for byte in answer) == proxy.counts["up.flipped"] > 0


async def test_a_lost_connection_is_reset_on_both_sides() -> None:
    async with proxied(Link(up=Way(loss=1.0))) as (proxy, echo):
        reader, writer = await connect(proxy)
        writer.write(b"lost")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await eventually(lambda: echo.ended == 1, timeout_s=TIMEOUT_S, what="the far end's reset")
        assert not echo.got
        assert proxy.counts["up.resets"] == 1


async def test_a_cut_link_resets_what_stands_and_what_comes() -> None:
    async with proxied() as (proxy, _):
        reader, _ = await connect(proxy)
        await eventually(lambda: proxy.counts["joined"] == 1, timeout_s=TIMEOUT_S, what="a link")
        await proxy.set_link(Link(door=Door.CUT))
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        late, _ = await connect(proxy)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await late.readexactly(1)
        await proxy.set_link(GOOD_LINK)
        assert await echoed(proxy, b"again") == b"again"


async def test_a_refusing_link_listens_no_more_until_it_is_good_again() -> None:
    async with proxied() as (proxy, _):
        await proxy.set_link(Link(door=Door.REFUSED))
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        await proxy.set_link(GOOD_LINK)
        assert await echoed(proxy, b"again") == b"again"


async def test_a_half_open_link_is_silent_and_tells_nobody_of_an_end() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        writer.write(b"heard")
        assert await reader.readexactly(5) == b"heard"
        await proxy.set_link(Link(door=Door.HALF_OPEN))
        writer.write(b"unheard")
        late, late_writer = await connect(proxy)
        late_writer.write(b"hello?")
        assert await is_silent(reader)
        assert await is_silent(late)
        writer.close()
        await asyncio.sleep(SILENCE_S)
        assert (bytes(echo.got), echo.opened, echo.ended) == (b"heard", 1, 0)
        # The network comes back; what fell silent stays so, as after a lost NAT entry.
        await proxy.set_link(GOOD_LINK)
        assert await is_silent(late)
        assert await echoed(proxy, b"again") == b"again"
        assert echo.ended <= 1


async def test_a_portal_answers_whatever_comes_with_a_web_page() -> None:
    async with proxied(Link(door=Door.CAPTIVE)) as (proxy, echo):
        reader, writer = await connect(proxy)
        writer.write(b"\x10\x11\x00\x04MQTT")
        assert await reader.read() == PORTAL_PAGE
        writer.close()
        assert echo.opened == 0
        assert proxy.counts["captured"] == 1


async def test_a_scenario_changes_a_running_link() -> None:
    scenario = parse_scenario(
        '[[fault]]\nat_s = 0\nfor_s = 0.2\nkind = "link.refuse"\n'
        '[[fault]]\nat_s = 0.1\nfor_s = 0.2\nkind = "link.delay"\ndelay_s = 0.01\n'
    )
    told: list[str] = []
    async with proxied() as (proxy, _):
        await play_scenario(proxy, scenario, announce=told.append)
        assert proxy.link == GOOD_LINK
        assert await echoed(proxy, b"again") == b"again"
    assert told == [
        "link after 0 s: link.refuse",
        "link after 0.1 s: link.delay, link.refuse",
        "link after 0.2 s: link.delay",
        "link after 0.3 s: good",
    ]


async def test_what_is_sent_into_a_closed_way_arrives_when_it_opens() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        writer.write(b"1")
        assert await reader.readexactly(1) == b"1"
        await proxy.set_link(Link(up=Way(closed=True)))
        writer.write(b"23")
        assert await is_silent(reader)
        assert bytes(echo.got) == b"1"
        await proxy.set_link(GOOD_LINK)
        assert await reader.readexactly(2) == b"23"
