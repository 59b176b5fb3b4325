import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers.waiting import eventually
from whimbrel_agent.localhttp.limits import HttpLimits
from whimbrel_agent.localhttp.listen import listen_tcp
from whimbrel_agent.localhttp.message import HttpError, Request, Response, json_response
from whimbrel_agent.localhttp.server import HttpServer

LIMITS = HttpLimits(
    max_connections=4,
    max_body_bytes=1_000,
    head_timeout_s=0.2,
    body_timeout_s=0.2,
    idle_timeout_s=30,
)
GET = b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def echo(request: Request) -> Response:
    if request.path == "/broken":
        raise RuntimeError("on purpose")
    if request.path == "/unread":
        raise HttpError(404, "nothing here")
    if request.path == "/stream":
        return Response(200, stream=_pieces())
    body = await request.body.read(10_000) if request.method == "POST" else b""
    return json_response(200, {"size": len(body), "query": dict(request.query)})


async def _pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


@asynccontextmanager
async def serving(limits: HttpLimits = LIMITS) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(echo, limits, name="test")
    listener = listen_tcp("127.0.0.1", 0)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run([listener]), name="server")
        try:
            yield server, listener.getsockname()[1]
        finally:
            await server.stop(grace_s=1)


async def exchange(port: int, request: bytes) -> bytes:
    """Send some bytes, give everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    client = h11.Connection(h11.CLIENT)
    found = []
    while answer:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(answer)
        client.receive_data(b"")
        while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Response):
                found.append(event.status_code)
        answer = client.trailing_data[0]
    return found


def post(body: bytes, *headers: bytes, path: bytes = b"/x") -> bytes:
    length = b"content-length: %d" % len(body)
    lines = [b"POST " + path + b" HTTP/1.1", b"host: localhost", length, *headers, b"", body]
    return b"\r\n".join(lines)


CLOSE = b"connection: close"


async def test_a_connection_serves_many_requests_pipelined_ones_too() -> None:
    async with serving() as (_, port):
        answer = await exchange(port, GET + post(b"abc") + GET + post(b"", CLOSE))
        assert statuses(answer) == [200, 200, 200, 200]
        assert b'"size":3' in answer


async def test_a_body_of_many_reads_arrives_whole() -> None:
    async with serving(replace(LIMITS, max_body_bytes=10_000)) as (_, port):
        answer = await exchange(port, post(b"x" * 9_999, CLOSE))
        assert b'"size":9999' in answer


async def test_the_query_reaches_the_handler() -> None:
    async with serving() as (_, port):
        answer = await exchange(port, post(b"", CLOSE, path=b"/x?a=1&b=%20"))
        assert b'"query":{"a":"1","b":" "}' in answer


async def test_a_chunked_body_is_read() -> None:
    async with serving() as (_, port):
        head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
        answer = await exchange(port, head + CLOSE + b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert b'"size":5' in answer


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head, body = post(b"abc", b"expect: 100-continue", CLOSE)[:-3], b"abc"
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert b'"size":3' in await reader.read()
        writer.close()


async def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with serving() as (_, port):
        head = b"POST /x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
        answer = await exchange(port, head + b"content-length: 1001\r\n\r\n")
        assert statuses(answer) == [413]


async def test_a_chunked_body_over_the_limit_is_cut_off_and_the_answer_arrives() -> None:
    async with serving() as (_, port):
        head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = await exchange(port, head + (b"100\r\n" + b"x" * 256 + b"\r\n") * 9)
        assert statuses(answer) == [413]


async def test_a_slow_head_ends_with_408() -> None:
    async with serving() as (_, port):
        assert statuses(await exchange(port, GET[:-2])) == [408]


async def test_a_slow_body_ends_with_408() -> None:
    async with serving() as (_, port):
        assert statuses(await exchange(port, post(b"abc")[:-1])) == [408]


async def test_an_idle_connection_is_closed() -> None:
    async with serving(replace(LIMITS, idle_timeout_s=0.05)) as (_, port):
        assert await exchange(port, b"") == b""


async def test_a_head_over_the_limit_is_refused() -> None:
    async with serving() as (_, port):
        request = GET[:-2] + CLOSE + b"\r\nx: " + b"y" * 20_000 + b"\r\n\r\n"
        assert statuses(await exchange(port, request)) == [431]


async def test_what_is_no_http_gets_400() -> None:
    async with serving() as (_, port):
        assert statuses(await exchange(port, b"\x16\x03\x01 hello\r\n\r\n")) == [400]


async def test_a_refusal_without_a_body_keeps_the_connection() -> None:
    async with serving() as (_, port):
        unread = GET.replace(b"/x", b"/unread")
        answer = await exchange(port, unread + GET[:-2] + CLOSE + b"\r\n\r\n")
        assert statuses(answer) == [404, 200]


async def test_a_refusal_with_an_unread_body_closes_the_connection() -> None:
    async with serving() as (_, port):
        answer = await exchange(port, post(b"x" * 900, path=b"/unread") + GET)
        assert statuses(answer) == [404]


async def test_a_handler_that_breaks_gives_500_and_the_server_goes_on() -> None:
    async with serving() as (_, port):
        broken = GET.replace(b"/x", b"/broken")
        assert statuses(await exchange(port, broken + GET[:-2] + CLOSE + b"\r\n\r\n")) == [500, 200]


async def test_a_streamed_answer_arrives_whole() -> None:
    async with serving() as (_, port):
        request = GET.replace(b"/x", b"/stream")[:-2] + CLOSE + b"\r\n\r\n"
        answer = await exchange(port, request)
        assert b"one" in answer
        assert answer.endswith(b"0\r\n\r\n")


async def test_a_web_page_is_refused() -> None:
    async with serving() as (_, port):
        for header in (b"origin: https://shop.example", b"sec-fetch-site: cross-site"):
            assert statuses(await exchange(port, post(b"", header, CLOSE))) == [403]
        rebound = post(b"", CLOSE).replace(b"localhost", b"evil.example:80")
        assert statuses(await exchange(port, rebound)) == [403]


async def test_connections_over_the_bound_are_turned_away_and_the_others_served() -> None:
    async with serving() as (server, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        await eventually(lambda: server.connections == 4, timeout_s=10, what="four connections")
        assert statuses(await exchange(port, GET)) == [503]
        held[0][1].write(GET[:-2] + CLOSE + b"\r\n\r\n")
        assert statuses(await held[0][0].read()) == [200]
        assert server.refused_connections == 1
        for _, writer in held:
            writer.close()


async def test_stop_ends_idle_connections_and_frees_the_port() -> None:
    async with serving() as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: server.connections == 1, timeout_s=10, what="a connection")
        await server.stop(grace_s=5)
        assert await reader.read() == b""
        writer.close()
        assert server.connections == 0
    listen_tcp("127.0.0.1", port).close()


async def test_a_client_that_disappears_costs_nothing_lasting() -> None:
    async with serving() as (server, port):
        for request in (b"", GET[:5], GET, post(b"abc")[:-1]):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(request)
            # linger 0: a reset instead of an orderly end
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        await eventually(lambda: server.connections == 0, timeout_s=10, what="no connection")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [GET, post(b"ab"), GET[:20], b"\r\n", b"5\r\n", b"content-length: 9\r\n", b"\0"]
            ),
        ),
        max_size=6,
    )
)
def test_any_bytes_end_in_answers_or_a_close_never_in_500(parts: list[bytes]) -> None:
    async def run() -> None:
        limits = replace(LIMITS, head_timeout_s=0.01, body_timeout_s=0.01, idle_timeout_s=0.01)
        async with serving(limits) as (_, port):
            answer = await exchange(port, b"".join(parts))
            assert b"HTTP/1.1 500" not in answer
            assert answer == b"" or answer.startswith(b"HTTP/1.1 ")

    asyncio.run(run())
