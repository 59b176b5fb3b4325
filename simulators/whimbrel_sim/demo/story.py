"""What happens in the demo, act by act."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .figures import Figures
from .stage import Stage

START_TIMEOUT_S: Final = 40.0
DRAIN_TIMEOUT_S: Final = 45.0
_POLL_S: Final = 0.1

Announce = Callable[[str], None]


class StoryError(Exception):
    """The stage did not become ready, or did not drain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long each act lasts, in seconds."""

    calm_s: float = 8.0
    outage_s: float = 9.0
    dead_s: float = 3.0
    after_s: float = 5.0


async def play(stage: Stage, figures: Figures, pace: Pace, announce: Announce) -> None:
    """Run the acts, then let everything drain.

    Raises:
        StoryError: a part did not start, or events were still on their way at the deadline.
        ProgramError: a process ended by itself.
    """
    announce("starting: a broker, a region, three stores")
    await _until(lambda: _is_ready(figures), START_TIMEOUT_S, stage, "was not ready")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tills:
        for store in stage.stores:
            tills.create_task(store.producer.run(stop), name=f"demo.{store.name}")
        try:
            await _acts(stage, pace, announce)
        finally:
            stop.set()
    announce("the stores have closed; everything drains")
    await _until(lambda: figures.settled, DRAIN_TIMEOUT_S, stage, "had not drained")


async def _acts(stage: Stage, pace: Pace, announce: Announce) -> None:
    announce("calm: events flow (and this network delivers one message in ten twice)")
    await asyncio.sleep(pace.calm_s)
    announce("the link of all three stores is cut; they go on selling")
    for store in stage.stores:
        await store.link.cut()
    await asyncio.sleep(pace.outage_s / 2)
    victim = stage.stores[1]
    announce(f"kill -9: the agent of {victim.name}; its tills repeat what got no answer")
    victim.is_killed = True
    victim.agent.program.kill()
    await asyncio.sleep(pace.dead_s)
    victim.agent.program.start()
    victim.is_killed = False
    announce(f"the agent of {victim.name} is back; the link is still down")
    await asyncio.sleep(pace.outage_s / 2)
    announce("the link is mended; the backlog drains while new events come in")
    for store in stage.stores:
        store.link.mend()
    await asyncio.sleep(pace.after_s)


def _is_ready(figures: Figures) -> bool:
    return bool(figures.region) and figures.all_stores_answer


async def _until(is_true: Callable[[], bool], timeout_s: float, stage: Stage, what: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not is_true():
        stage.region.program.check_alive()
        for store in stage.stores:
            store.agent.program.check_alive()
        if loop.time() > deadline:
            raise StoryError(f"the stage {what} within {timeout_s:g} s")
        await asyncio.sleep(_POLL_S)
