"""How often a radio would have woken, seen on the wire.

The agent's connection passes through a proxy; bytes or a new connection after a while of silence are
a session of the radio, whatever they were for. Nothing of it is the agent's own word.
"""

from __future__ import annotations

import asyncio
from typing import Final

from whimbrel_sim.proxy import Proxy

GAP_S: Final = 3.0
"""Silence after which the radio counts as asleep: longer than the two seconds for which the agent
keeps a session open, and far shorter than an LTE radio's tail, which would hide sessions."""

_LOOK_S: Final = 0.1


class RadioWatch:
    """Counts sessions on a proxy until it is cancelled.

    Attributes:
        sessions: so many, so far.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.sessions = 0
        self._proxy = proxy

    @property
    def connections(self) -> int:
        """How many connections were made, so far."""
        return self._proxy.counts["joined"]

    @property
    def is_over(self) -> bool:
        """Whether the agent has let go of its connection."""
        return self._proxy.connections == 0

    async def run(self) -> None:
        """Look on."""
        loop = asyncio.get_running_loop()
        seen, heard_s = self._heard(), float("-inf")
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = loop.time()
            if self._heard() == seen:
                continue
            seen = self._heard()
            if now_s - heard_s > GAP_S:
                self.sessions += 1
            heard_s = now_s

    def _heard(self) -> int:
        counts = self._proxy.counts
        return counts["up.bytes"] + counts["down.bytes"] + counts["joined"]
