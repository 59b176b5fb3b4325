"""Tests in virtual time, and the small parts of a world that they put together."""

from __future__ import annotations

import asyncio
import functools
import pathlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, ParamSpec

from whimbrel_sim.worlds.broker import Connection, WorldBroker
from whimbrel_sim.worlds.cardport import Card, plain_card
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.network import Message, Path, Weather
from whimbrel_sim.worlds.scenario import parse
from whimbrel_sim.worlds.timeline import Timeline
from whimbrel_sim.worlds.world import World

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in a loop whose clock jumps."""

    @functools.wraps(test)
    def run(*given: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*given, **named))

    return run


def virtual_loop() -> VirtualTimeLoop:
    """The running loop, which must be one of virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def make_path(name: str = "path", seed: int = 1, weather: Weather | None = None) -> Path:
    """A path whose fair weather delays nothing, unless told otherwise."""
    path = Path(name, asyncio.get_running_loop(), Random(seed))
    path.fair = path.weather = weather or Weather()
    return path


def make_broker(seed: int = 1) -> WorldBroker:
    return WorldBroker("broker-1", asyncio.get_running_loop(), Random(seed), Timeline())


def run_world(story: str, seed: int, folder: pathlib.Path) -> World:
    """Run a whole world to its end; ``story`` is a scenario's text."""

    async def main() -> World:
        world = World(parse("story", story), seed, folder)
        await world.run()
        return world

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


TINY = """
story = "A store of two devices."
duration_s = 60
[[load]]
every_s = 4
"""


@asynccontextmanager
async def tiny_world(
    folder: pathlib.Path, *, text: str = TINY, new_card: Callable[[pathlib.Path], Card] = plain_card
) -> AsyncIterator[World]:
    """A world whose machines run and in which nothing happens by itself."""
    world = World(parse("tiny", text), 1, folder, new_card=new_card)
    async with asyncio.TaskGroup() as chores:
        world._chores = chores
        for machine in world.machines:
            machine.start()
        await asyncio.sleep(5)
        yield world
        for machine in world.machines:
            machine.wake()
            await machine.stop()
    world.audit.close()


class Client:
    """Somebody at a world's broker: keeps what came, when, and how it ended."""

    def __init__(self, broker: WorldBroker, name: str = "client", path: Path | None = None) -> None:
        self.broker = broker
        self.name = name
        self.path = path or make_path(name)
        self.taken: list[Message] = []
        self.taken_s: list[float] = []
        self.ends: list[str] = []
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    @property
    def payloads(self) -> list[bytes]:
        return [one.payload for one in self.taken]

    async def connect(self, *filters: str) -> Client:
        self._connection = await self.broker.connect(
            self.name, self.path, filters, self._take, self._broken
        )
        return self

    def publish_all(self, topic: str, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            self.connection.publish(topic, payload)

    def _take(self, message: Message) -> None:
        self.taken.append(message)
        self.taken_s.append(asyncio.get_running_loop().time())

    def _broken(self, kind: str, why: str) -> None:
        del why
        self.ends.append(kind)
