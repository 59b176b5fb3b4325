"""The demo's stage: a broker, a region with two outlets, three stores with a link each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from aiohttp import web

from whimbrel_sim.broker import EmbeddedBroker
from whimbrel_sim.fleet import Agent, Region
from whimbrel_sim.journalfile import ID_FIELD
from whimbrel_sim.ledger import Ledger
from whimbrel_sim.ports import free_port
from whimbrel_sim.producer import Load, Producer
from whimbrel_sim.proxy import Faults, Proxy
from whimbrel_sim.storemix import store_events

STORES: Final = ("berlin", "lisbon", "turku")
BIG_NUMBER: Final = 10_000_000
"""More events than a demo can post."""

DOUBLING: Final = Faults(duplicate=0.1)
"""What this network does all the time: one publication in ten arrives twice."""

FORWARDS: Final = """
[[forward]]
name = "archive"
kind = "files"
dir = "archive"

[[forward]]
name = "shop-cloud"
kind = "webhook"
url = "{url}"
"""


class Receiver:
    """Somebody's cloud service: takes CloudEvents batches and counts each event's id."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the webhook posts."""
        return f"http://127.0.0.1:{self.port}/events"

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_post("/events", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        for event in json.loads(await request.read()):
            self.ids[str(event["data"][ID_FIELD])] += 1
        return web.Response(status=204)


@dataclass(slots=True)
class Store:
    """One store: its agent, its link to the broker, and who posts to it."""

    name: str
    agent: Agent
    link: Proxy
    producer: Producer
    is_killed: bool = False
    status: dict[str, Any] = field(default_factory=dict)


class Stage:
    """Everything that runs during the demo, started in order and stopped in reverse.

    Attributes:
        ledger: what the stores' tills and sensors were told.
        region: the aggregator.
        receiver: the cloud service behind the webhook.
        stores: the three stores.
    """

    def __init__(self, folder: Path, *, seed: int, events_per_s: float) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.receiver = Receiver()
        self.broker = EmbeddedBroker()
        self.region: Region
        self.stores: list[Store] = []
        self._random = Random(seed)
        self._pause_s = 11 / events_per_s  # posts have 10.5 events on average
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        await self._stack.enter_async_context(self.broker)
        await self._stack.enter_async_context(self.receiver)
        self.region = await asyncio.to_thread(Region, self.folder / "region", [self.broker.url])
        with self.region.config_file.open("a") as config:
            config.write(FORWARDS.format(url=self.receiver.url))
        self._stack.callback(self.region.program.stop)
        for name in STORES:
            self.stores.append(await self._add_store(name))
        self.region.program.start()

    async def _add_store(self, name: str) -> Store:
        link = Proxy(
            port=free_port(),
            broker_host=self.broker.host,
            broker_port=self.broker.port,
            random=Random(self._random.getrandbits(64)),
            up=DOUBLING,
        )
        await self._stack.enter_async_context(link)
        agent = await asyncio.to_thread(
            lambda: Agent(
                self.folder / name,
                self.region,
                link.url,
                store=name,
                device="gateway-1",
                settings={"lanes.normal": {"linger_s": 1.0}},
            )
        )
        await asyncio.to_thread(self.region.enrol, agent)
        self._stack.callback(agent.program.stop)
        agent.program.start()
        seed = self._random.getrandbits(32)
        producer = Producer(
            self.ledger,
            Load(sender=name, batch_events=20, pause_s=self._pause_s),
            url=lambda: agent.url,
            random=Random(seed),
            facts=_facts(seed, name),
        )
        return Store(name, agent, link, producer)


def _facts(seed: int, store: str) -> Iterator[dict[str, Any]]:
    """Yield a store's day in the JSON form of the intake."""
    for event in store_events(seed, BIG_NUMBER, store=store):
        fact: dict[str, Any] = {
            "type": event.type,
            "source": event.source,
            "time_ns": event.time_ns,
            "data": dict(event.data),
        }
        if event.zone is not None:
            fact["zone"] = event.zone
        yield fact
