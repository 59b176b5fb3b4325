"""Plays a scenario on a running proxy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from whimbrel_sim.proxy import Faults, Proxy

from .faultfile import Packets, Play, Scenario, next_change_s, play_at


async def play_scenario(
    proxy: Proxy, scenario: Scenario, *, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Change the proxy as the scenario says; returns after its last change.

    Args:
        proxy: a running one.
        scenario: its times count from this call.
        announce: told at each change what is in force from then on.
    """
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    now_s = 0.0
    while True:
        await apply_play(proxy, play_at(scenario, now_s))
        kinds = sorted({fault.kind for fault in scenario if fault.is_on(now_s)})
        announce(f"link after {now_s:g} s: {', '.join(kinds) or 'good'}")
        now_s = next_change_s(scenario, now_s)
        if math.isinf(now_s):
            return
        await asyncio.sleep(max(0.0, start_s + now_s - loop.time()))


async def apply_play(proxy: Proxy, play: Play) -> None:
    """Put one moment of a scenario in force."""
    proxy.up, proxy.down = _faults(play.up), _faults(play.down)
    await proxy.set_link(play.link)


def _faults(packets: Packets) -> Faults:
    return Faults(drop=packets.drop, duplicate=packets.duplicate, reorder=packets.reorder)
