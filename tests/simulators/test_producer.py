from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import web

from whimbrel_sim.ledger import Ledger, Outcome, Place
from whimbrel_sim.ports import free_port
from whimbrel_sim.producer import Load, Producer, ProducerError, places_of

Script = Callable[[int, list[dict[str, object]]], web.Response | None]
"""What the peer answers to its n-th request; None means that it hangs up without a word."""


class Peer:
    """An intake that answers as the test says; it notes keys and ids in the order they came."""

    def __init__(self, script: Script) -> None:
        self.keys: list[str] = []
        self.ids: list[list[str]] = []
        self._script = script
        self.url = f"http://127.0.0.1:{free_port()}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        self.keys.append(request.headers["idempotency-key"])
        self.ids.append([line["data"]["id"] for line in lines])
        answer = self._script(len(self.keys), lines)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return answer


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Peer]:
    peer = Peer(script)
    app = web.Application()
    app.router.add_post("/v1/events", peer.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(peer.url.rpartition(":")[2])).start()
    try:
        yield peer
    finally:
        await runner.cleanup()


def accepted(first: int, count: int) -> web.Response:
    ranges = [{"epoch": "7", "lane": "normal", "first": first, "count": count}]
    return web.json_response({"accepted": ranges, "count": count, "repeated": 0}, status=202)


def producer(peer: Peer, ledger: Ledger, *, repeat: float = 0.0, **load: object) -> Producer:
    settings = Load(sender="a", repeat=repeat, **load)  # type: ignore[arg-type]
    return Producer(ledger, settings, url=lambda: peer.url, random=Random(1))


async def test_an_accepted_post_is_in_the_ledger_with_its_places() -> None:
    ledger = Ledger()
    async with serving(lambda number, lines: accepted(1, len(lines))) as peer:
        await producer(peer, ledger).send(3)
    assert [entry.place for entry in ledger] == [Place(7, "normal", n) for n in (1, 2, 3)]


@pytest.mark.parametrize("status", [429, 503, 507, None])
async def test_a_post_without_success_is_repeated_under_its_key(status: int | None) -> None:
    def script(number: int, lines: list[dict[str, object]]) -> web.Response | None:
        if number < 4:
            return None if status is None else web.Response(status=status)
        return accepted(1, len(lines))

    ledger = Ledger()
    async with serving(script) as peer, asyncio.timeout(20):
        await producer(peer, ledger).send(2)
    assert len(peer.keys) == 4
    assert len(set(peer.keys)) == 1
    assert peer.ids == [["a-1", "a-2"]] * 4
    assert ledger.count(Outcome.ACCEPTED) == 2


async def test_a_full_agent_refuses_when_the_till_gives_up() -> None:
    ledger = Ledger()
    async with serving(lambda number, lines: web.Response(status=507)) as peer:
        await producer(peer, ledger, give_up_when_full=True).send(2)
    assert ledger.count(Outcome.REFUSED) == 2


async def test_a_till_that_gave_up_never_posts_the_same_events_again() -> None:
    def script(number: int, lines: list[dict[str, object]]) -> web.Response:
        return web.Response(status=507) if number == 1 else accepted(1, len(lines))

    ledger = Ledger()
    async with serving(script) as peer:
        await producer(peer, ledger, repeat=1.0, give_up_when_full=True).send(2)
    assert len(peer.keys) == 1
    assert ledger.count(Outcome.REFUSED) == 2


async def test_a_refused_correct_body_is_an_error() -> None:
    async with serving(lambda number, lines: web.Response(status=400)) as peer:
        with pytest.raises(ProducerError, match="400"):
            await producer(peer, Ledger()).send(1)


async def test_a_stopped_producer_ends_only_when_its_post_is_answered() -> None:
    ledger, stop = Ledger(), asyncio.Event()

    def script(number: int, lines: list[dict[str, object]]) -> web.Response | None:
        stop.set()
        return None if number < 3 else accepted(1, len(lines))

    async with serving(script) as peer, asyncio.timeout(20):
        await producer(peer, ledger).run(stop)
    assert ledger.count(Outcome.UNSURE) == 0
    assert len(peer.keys) == 3


def test_places_follow_the_ranges_of_an_answer() -> None:
    ranges = [
        {"epoch": "7", "lane": "normal", "first": 4, "count": 2},
        {"epoch": "9", "lane": "bulk", "first": 1, "count": 1},
    ]
    assert places_of(ranges) == [
        Place(7, "normal", 4), Place(7, "normal", 5), Place(9, "bulk", 1),
    ]  # fmt: skip
