"""The hostile neighbour on a broker: the enemy of the real-broker tests, at a world's broker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from whimbrel_protocol.names import Address
from whimbrel_sim.hostile import Enemy

from .broker import Connection, NoConnectionError, WorldBroker
from .network import Message

if TYPE_CHECKING:
    from .world import World

KEPT = 12


class NeighbourClient:
    """The few methods of an MQTT client that the enemy uses."""

    def __init__(self) -> None:
        self._inbox: deque[Message] = deque(maxlen=1_000)
        self._came = asyncio.Event()
        self.connection: Connection | None = None

    def take(self, message: Message) -> None:
        """Queue what is overheard."""
        self._inbox.append(message)
        self._came.set()

    async def subscribe(self, topic: str, qos: int = 0) -> None:
        """Do nothing: it listens to everything since it connected."""
        del topic, qos

    @property
    def messages(self) -> AsyncIterator[Message]:
        """Yield what comes in."""
        return self._read()

    async def _read(self) -> AsyncIterator[Message]:
        while True:
            while self._inbox:
                yield self._inbox.popleft()
            self._came.clear()
            await self._came.wait()

    async def publish(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool) -> None:
        """Publish anything anywhere."""
        del qos
        if self.connection is not None:
            self.connection.publish(topic, payload, retain=retain)


async def let_attack(
    world: World, broker: WorldBroker, stop: asyncio.Event, *, every_s: float
) -> None:
    """Listen and attack again and again, until ``stop``."""
    random = world.random("enemy", broker.name)
    client = NeighbourClient()
    enemy = Enemy(client, random, kept=KEPT)
    path = world.path(f"enemy-{broker.name}")
    victims = [one for one in world.devices if one.ways[0][1] is broker]
    stranger = Address(tenant="acme", region="eu-1", store="nowhere", device="ghost")

    async def attack() -> None:
        while not stop.is_set():
            if client.connection is None or not client.connection.here:
                try:
                    client.connection = await broker.connect(
                        "enemy", path, ["wb/#"], client.take, lambda _kind, _why: None
                    )
                except NoConnectionError:
                    await asyncio.sleep(every_s)
                    continue
            victim, other = random.choice(victims), random.choice(victims)
            retain = random.random() < 0.2
            await enemy.attack_agent(victim.address, other=other.address.device, retain=retain)
            await enemy.attack_region(stranger=stranger, retain=retain)
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    listening = asyncio.get_running_loop().create_task(enemy.listen(), name="enemy.listen")
    try:
        await attack()
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        if client.connection is not None:
            client.connection.close()
        world.timeline.tell("enemy", "gone", sent=sum(enemy.sent.values()))
