"""What happens to cards and machines: older copies put back, clones that go on side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from .fleet import Agent
from .producer import Load
from .proxy import NO_FAULTS, Faults
from .sabotage import SAME_ENTROPY
from .world import DRAIN_TIMEOUT_S, World

LINGER_S: Final = 1.0
"""How long these lanes wait to be sealed: an image taken in between splits a frame to be."""

LANE: Final = "high"
SETTINGS: Final = {"lanes.high": {"linger_s": LINGER_S, "order": "in-order"}}
"""What agents need for this; nobody else should use the lane meanwhile."""

_EVENTS: Final = 40
_LOST: Final = Faults(drop=1.0)
_TO_RECEIPT_S: Final = 0.5


async def sell(
    world: World, agent: Agent, sender: str, events: int = _EVENTS, *, lane: str = LANE
) -> None:
    """Post so many events and wait for the answers."""
    await world.producer(agent, Load(sender=sender, lane=lane, repeat=0.0)).send(events)


async def put_back_older_copy(
    world: World, agent: Agent, folder: Path, *, drain_timeout_s: float = DRAIN_TIMEOUT_S
) -> None:
    """Copy a running machine's card, let everything be delivered, and put the copy back.

    The copy holds events that wait to be sealed. Its first life seals them together with later
    ones; in its second life they are alone, so the frames of the two lives overlap.
    """
    device = agent.address.device
    await world.near.cut()
    await sell(world, agent, f"{device}-copied")
    agent.program.suspend()
    try:
        agent.save_image(folder)
    finally:
        agent.program.wake()
    await sell(world, agent, f"{device}-copied")
    world.near.mend()
    await world.drain(drain_timeout_s)
    agent.program.kill()
    agent.load_image(folder)
    agent.program.start()
    await sell(world, agent, f"{device}-copied")


async def run_twins(world: World, agent: Agent, folder: Path) -> list[Agent]:
    """Replace a machine by two copies that draw the same random numbers at first, and use both.

    Both number their events alike, and the receipts of each reach the other. In one round what
    the second one publishes gets lost, so a receipt for the first one's frame finds it waiting.
    """
    device = agent.address.device
    agent.program.kill()
    patches = (*agent.patches, SAME_ENTROPY)
    link = await world.add_link()
    twins = [
        await asyncio.to_thread(agent.clone, folder / f"twin-{number}", url, patches=patches)
        for number, url in enumerate((world.near.url, link.url), start=1)
    ]
    world.agents.remove(agent)
    world.agents += twins
    for twin in twins:
        twin.program.start()
    for twin in twins:
        await world.until_resumed(twin)
    for fate in (NO_FAULTS, _LOST, NO_FAULTS):
        link.up = fate
        await asyncio.gather(
            *(sell(world, twin, f"{device}-twin-{n}", _EVENTS // 2) for n, twin in enumerate(twins))
        )
        await asyncio.sleep(LINGER_S + _TO_RECEIPT_S)
    return twins
