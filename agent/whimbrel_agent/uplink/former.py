"""Regions that this device has left: what it accepted at its addresses there still goes there.

A frame is signed for its address, and only that address's region takes it. So a device that was
moved to another region keeps a second uplink to the one it came from, with that region's key and
brokers (``[former_regions.NAME]``). It is connected while something waits, and otherwise once an hour
for a question: a journal that comes back from a backup may lack what was receipted before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.logs import facts
from whimbrel_agent.uplink.figures import FormerFigures
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_protocol.names import Address

LOOK_S: Final = 30.0
"""How often is looked whether all is drained: two wake-ups a minute, while something waits."""

TURN_S: Final = 600.0
"""An address gets so long before the region's next one: it may be one that nobody knows any more."""

ASK_AGAIN_S: Final = 3600.0
"""A region that was left is asked so often whether it still has what it gave receipts for, as long as
those frames are kept here: its journal may have come back from a backup, and nobody else would notice."""

_log = logging.getLogger(__name__)


class FormerRegions:
    """Runs an uplink to each region that was left and is owed something.

    Args:
        buffer: open.
        makers: make an uplink for one address, by its region: those that settings name.
    """

    def __init__(self, buffer: Buffer, makers: Mapping[str, Callable[[Address], Uplink]]) -> None:
        self._buffer = buffer
        self._makers = dict(makers)
        self._running: dict[Address, Uplink] = {}
        self._plan = RadioPlan()
        self._keepalive_s: int | None = None

    def use_radio(self, plan: RadioPlan) -> None:
        """Use the radio by another plan from now on."""
        self._plan = plan
        for uplink in self._running.values():
            uplink.use_radio(plan)

    def use_keepalive(self, keepalive_s: int) -> None:
        """Ask brokers for this keep-alive, in seconds, on links made from now on."""
        self._keepalive_s = keepalive_s
        for uplink in self._running.values():
            uplink.use_keepalive(keepalive_s)

    def network_returned(self) -> None:
        """Say that the machine has a network again."""
        for uplink in self._running.values():
            uplink.network_returned()

    async def figures(self) -> Sequence[FormerFigures]:
        """Return what waits, by address."""
        waiting = await self._buffer.elsewhere()
        return [FormerFigures(one, number, self._doing(one)) for one, number in waiting.items()]

    async def run(self) -> None:
        """Drain every region that settings name; ends when nothing is kept for any of them.

        Raises:
            BufferBrokenError: the buffer must be opened again.
        """
        waiting = await self._buffer.elsewhere()
        for address, number in waiting.items():
            told = facts(address=address, waiting=number)
            if address.region in self._makers:
                _log.info("a former region is still owed something", extra=told)
            else:
                _log.warning(
                    "%s gets nothing more: name it under [former_regions]",
                    address.region,
                    extra=told,
                )
        async with asyncio.TaskGroup() as group:
            for region, make in self._makers.items():
                group.create_task(self._look_after(region, make), name=f"former.{region}")

    async def _look_after(self, region: str, make: Callable[[Address], Uplink]) -> None:
        """Serve each address that is owed something; ask the others at times."""
        while True:
            kept = [one for one in await self._buffer.kept_elsewhere() if one.region == region]
            waiting = await self._waiting_in(region)
            for address in dict.fromkeys([*waiting, *kept]):
                await self._serve(address, make(address))
            if not waiting and not kept:
                return
            if not await self._waiting_in(region):
                await asyncio.sleep(ASK_AGAIN_S)

    async def _serve(self, address: Address, uplink: Uplink) -> None:
        """Run an uplink until the region has answered and its address is drained."""
        uplink.use_radio(self._plan)
        if self._keepalive_s is not None:
            uplink.use_keepalive(self._keepalive_s)
        self._running[address] = uplink
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(uplink.run(), name="former.uplink")
                await self._wait(address, uplink)
                running.cancel()
        finally:
            del self._running[address]

    async def _wait(self, address: Address, uplink: Uplink) -> None:
        for look in count(1):
            await asyncio.sleep(LOOK_S)
            answered = uplink.figures().counts.get("resumes_applied", 0) > 0
            waiting = await self._waiting_in(address.region)
            others = set(waiting) - {address}
            if answered and address not in waiting:
                return
            if look * LOOK_S >= TURN_S and (others or address not in waiting):
                return
            uplink.frames_sealed()  # rows of before the move may have been sealed by now

    async def _waiting_in(self, region: str) -> list[Address]:
        return [one for one in await self._buffer.elsewhere() if one.region == region]

    def _doing(self, address: Address) -> str:
        if address in self._running:
            return self._running[address].figures().doing
        if address.region in self._makers:
            return "waits for its turn"
        return f"{address.region} is not known: name it under [former_regions]"
