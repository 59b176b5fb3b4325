"""The API's answers about flow: usage by month, and what devices may send now."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

from whimbrel_aggregator.flow.control import FlowFigures
from whimbrel_aggregator.flow.limits import PERS, Limit, Limits
from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.flow.usage import Scope, UsageRow
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web import schemas
from whimbrel_aggregator.web.answers import RefusedError, answer
from whimbrel_aggregator.web.parameters import limit_of, query_of
from whimbrel_protocol.names import check_name

_MONTH: Final = re.compile(schemas.MONTH["pattern"][1:-1])
_PLACE: Final = re.compile(schemas.USAGE_PLACE["pattern"][1:-1])


class FlowRoutes:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def usage(self, request: web.Request) -> web.Response:
        """Answer what was committed in a month, in the order of the names."""
        given = query_of(request, ("month", "per", "tenant", "after", "limit"))
        month = given.get("month")
        if month is not None and _MONTH.fullmatch(month) is None:
            raise RefusedError(400, "month", month, "must be a month such as 2026-11")
        per = given.get("per")
        if per is not None and per not in PERS:
            raise RefusedError(400, "per", per, f"must be one of {', '.join(PERS)}")
        if "tenant" in given:
            check_name("tenant", given["tenant"])
        after = given.get("after")
        if after is not None and _PLACE.fullmatch(after) is None:
            raise RefusedError(400, "after", after, "must be a 'next' that this API gave")
        limit = limit_of(given)
        try:
            month, rows = await self._services.usage(month)
        except SideFileError as error:
            raise RefusedError(503, "usage", "failed", str(error)) from error
        found = [
            row
            for row in rows
            if (after is None or row.scope > _scope_at(after))
            and (per is None or PERS[len(row.scope)] == per)
            and ("tenant" not in given or row.scope[:1] == (given["tenant"],))
        ]
        page = found[:limit]
        more = _place_of(page[-1].scope) if len(found) > limit else None
        listed = [usage_to_json(row, self._services.limits) for row in page]
        return answer({"month": month, "usage": listed, "next": more})

    async def flow(self, request: web.Request) -> web.Response:
        """Answer what devices may send now, and why not more."""
        query_of(request, ())
        return answer(flow_to_json(self._services.flow()))


_REGION: Final = "all"
"""The region's place in the order of the names, of which none may be called so."""


def _place_of(scope: Scope) -> str:
    return "/".join(scope) or _REGION


def _scope_at(place: str) -> Scope:
    return () if place == _REGION else tuple(place.split("/"))


def usage_to_json(row: UsageRow, limits: Limits) -> dict[str, Any]:
    """Return the usage of one name as a JSON object, with its quota where there is one."""
    quota = limits.quota(row.scope) or Limit(per="region")
    names = dict(zip(("tenant", "store", "device"), row.scope, strict=False))
    return {
        "per": PERS[len(row.scope)],
        "tenant": names.get("tenant"),
        "store": names.get("store"),
        "device": names.get("device"),
        "frames": row.usage.frames,
        "events": row.usage.events,
        "bytes": row.usage.size_bytes,
        "quota_bytes": quota.monthly_bytes,
        "quota_events": quota.monthly_events,
    }


def flow_to_json(figures: FlowFigures | None) -> dict[str, Any]:
    """Return what devices may send as a JSON object; nothing where no aggregator runs."""
    if figures is None:
        return {
            "credit_bytes": 0,
            "reason": "the aggregator does not run",
            "holding": {},
            "starved_devices": 0,
            "returning": {"waiting": 0, "starts_per_s": 0.0, "last_start_s": 0.0, "started": 0},
        }
    back = figures.returning
    return {
        "credit_bytes": figures.grant.size_bytes,
        "reason": figures.grant.reason,
        "holding": figures.holding,
        "starved_devices": figures.starved,
        "returning": {
            "waiting": back.waiting,
            "starts_per_s": back.starts_per_s,
            "last_start_s": round(back.last_start_s, 3),
            "started": back.started,
        },
    }
