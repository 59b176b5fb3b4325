"""The API's answers about what routes left out on lower rungs of their ladders."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.forward.skipped import Skipped
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.timetext import format_time
from whimbrel_aggregator.web.answers import RefusedError, answer
from whimbrel_aggregator.web.parameters import integer_of, limit_of, query_of
from whimbrel_protocol.names import check_name

MAX_ID: Final = 2**53 - 1


class SkippedRoutes:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._skipped = services.skipped

    async def list(self, request: web.Request) -> web.Response:
        """Answer runs of skipped frames, oldest first."""
        given = query_of(request, ("forwarder", "after", "limit"))
        forwarder = given.get("forwarder")
        if forwarder is not None:
            check_name("forwarder", forwarder)
        after = integer_of(given, "after", 0, low=0, high=MAX_ID)
        limit = limit_of(given)
        try:
            rows = await self._skipped.rows(forwarder, after)
        except SideFileError as error:
            raise RefusedError(503, "skipped", "failed", str(error)) from error
        page = rows[:limit]
        more = page[-1].id if len(rows) > limit else None
        return answer({"skipped": [skipped_to_json(one) for one in page], "next": more})

    async def drop(self, request: web.Request) -> web.Response:
        """Forget one run: it was replayed, or is not wanted."""
        query_of(request, ())
        text = request.match_info["id"]
        number = integer_of({"id": text}, "id", 0, low=1, high=MAX_ID)
        try:
            dropped = await self._skipped.drop(number)
        except SideFileError as error:
            raise RefusedError(503, "skipped", "failed", str(error)) from error
        if not dropped:
            raise RefusedError(404, "id", text, "must be the id of a run of skipped frames")
        return answer({"dropped": number})


def skipped_to_json(run: Skipped) -> dict[str, Any]:
    """Return a run as a JSON object; ``since`` and ``until`` bound the times of its events."""
    return {
        "id": run.id,
        "forwarder": run.forwarder,
        "tenant": run.partition.tenant,
        "store": run.partition.store,
        "rung": run.rung,
        "first_offset": run.first,
        "last_offset": run.last,
        "frames": run.frames,
        "events": run.events,
        "since": format_time(run.min_ns),
        "until": format_time(run.max_ns + 1),
    }
