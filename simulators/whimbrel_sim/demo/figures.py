"""What the demo's processes say of themselves while it runs, asked over their own local APIs."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp

from .stage import Stage, Store

_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


class Figures:
    """The last answers of every process; an empty dict for one that is not there."""

    def __init__(self, stage: Stage) -> None:
        self.region: dict[str, Any] = {}
        self._stage = stage

    async def refresh(self) -> None:
        """Ask everybody once, at the same time."""
        jobs = [self._ask_store(store) for store in self._stage.stores]
        await asyncio.gather(self._ask_region(), *jobs)

    @property
    def all_stores_answer(self) -> bool:
        """Whether every store's agent has answered at least once."""
        return all(store.status for store in self._stage.stores)

    @property
    def settled(self) -> bool:
        """Whether no store has anything left to deliver and both outlets are at the end."""
        stores = [store.status.get("buffer", {}) for store in self._stage.stores]
        forwarders = self.region.get("forwarders", [])
        return (
            all(buffer.get("pending") == 0 for buffer in stores)
            and len(forwarders) > 0
            and all(forwarder["lag_frames"] == 0 for forwarder in forwarders)
        )

    async def _ask_store(self, store: Store) -> None:
        connector = aiohttp.UnixConnector(str(store.agent.folder / "control.sock"))
        found = await _get("http://agent/v1/status", connector)
        if found:
            store.status = found

    async def _ask_region(self) -> None:
        found = await _get(f"http://127.0.0.1:{self._stage.region.port}/v1/status", None)
        if found:
            self.region = found


async def _get(url: str, connector: aiohttp.BaseConnector | None) -> dict[str, Any]:
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
            session.get(url) as answer,
        ):
            found: dict[str, Any] = await answer.json() if answer.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, OSError):
        return {}  # not up yet, or just killed: the screen keeps the last answer
    return found
