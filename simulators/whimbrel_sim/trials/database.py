"""A PostgreSQL behind a proxy, as the trial and the forwarder meet it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from whimbrel_sim.fleet import TENANT
from whimbrel_sim.fleets.links import GOOD_LINK, Door, Link, Way
from whimbrel_sim.ledger import Outcome
from whimbrel_sim.proxy import Proxy
from whimbrel_sim.reconcile import Contents

from .holding import PostgresRows
from .stage import Stage

DELIVERY_S: Final = 180.0
"""After it works again, the database must have everything within this."""


class FarDatabase:
    """The database, and what the network does to the forwarder's connection with it."""

    def __init__(self, stage: Stage, proxy: Proxy, rows: PostgresRows) -> None:
        self._stage = stage
        self._proxy = proxy
        self._rows = rows

    @property
    def taken_bytes(self) -> int:
        """What the forwarder has sent to it so far."""
        return self._proxy.counts["up.bytes"]

    async def slow_down(self, bytes_per_s: float) -> None:
        """Let it take no more than this."""
        await self._proxy.set_link(Link(up=Way(bytes_per_s=bytes_per_s)))

    async def speed_up(self) -> None:
        """Let it take what it can."""
        await self._proxy.set_link(GOOD_LINK)

    async def hang(self) -> None:
        """Let it swallow what comes and never answer."""
        await self._proxy.set_link(Link(door=Door.HALF_OPEN))

    async def come_back(self) -> None:
        """Let it answer new connections; what fell silent stays so, and is reset."""
        await self._proxy.set_link(GOOD_LINK)
        await self._proxy.cut()
        self._proxy.mend()

    async def forwarder(self) -> dict[str, Any]:
        """Return what the region says of the route to it."""
        status = await self._stage.ask_region()
        found: dict[str, Any] = next(
            one for one in status["forwarders"] if one["name"] == "postgres"
        )
        return found

    async def breaker_is_open(self) -> bool:
        """Say whether its breaker stopped deliveries."""
        return bool((await self.forwarder())["breaker"] != "closed")

    async def breaker_is_closed(self) -> bool:
        """Say whether deliveries pass."""
        return not await self.breaker_is_open()

    async def until_delivered(self) -> Contents:
        """Wait until it has as many rows as events were accepted, and read them."""
        wanted = self._stage.ledger.count(Outcome.ACCEPTED)

        async def there() -> bool:
            return await asyncio.to_thread(self._rows.count, TENANT) >= wanted

        await self._stage.within(there, DELIVERY_S)
        return await asyncio.to_thread(self._rows.contents, TENANT)
