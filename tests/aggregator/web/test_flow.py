from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from whimbrel_aggregator.flow.control import FlowFigures
from whimbrel_aggregator.flow.credit import Grant
from whimbrel_aggregator.flow.limits import Limit, Limits
from whimbrel_aggregator.flow.returning import ReturnFigures
from whimbrel_aggregator.flow.sidefile import SideFileError
from whimbrel_aggregator.flow.usage import Usage, UsageRow
from whimbrel_aggregator.forward.breaker import BreakerState
from whimbrel_aggregator.forward.ladder import Rung
from whimbrel_aggregator.forward.port import Guarantee
from whimbrel_aggregator.forward.status import Backlog, ForwarderStatus
from whimbrel_aggregator.services import Services

SCOPES = [(), ("acme",), ("acme", "s-1"), ("acme", "s-1", "till-1"), ("other",)]
ROWS = [UsageRow("2026-11", scope, Usage(2, 30, 400)) for scope in SCOPES]
STATUS = ForwarderStatus(
    name="hook",
    guarantee=Guarantee.KEYED,
    backlog=Backlog(3, 5000, 12.5),
    breaker=BreakerState.OPEN,
    breaker_opened=2,
    retry_in_s=4.0,
    rung=Rung.STORE_ONLY,
    rung_reason="the backlog is 100 s old",
    skipped_frames=6,
    skipped_events=60,
)


async def usage(month: str | None) -> tuple[str, Sequence[UsageRow]]:
    if month == "1999-01":
        raise SideFileError("the file is gone")
    return month or "2026-11", ROWS if month in (None, "2026-11") else ()


@pytest.fixture
def services(services: Services) -> Services:
    return replace(
        services,
        tenant_usage=lambda: [row for row in ROWS if len(row.scope) <= 1],
        usage=usage,
        limits=Limits([Limit(per="tenant", monthly_bytes=1000)]),
        flow=lambda: FlowFigures(
            Grant(99, "the queue to the journal is filling"),
            {"hook": "forwarder hook is far behind"},
            4,
            ReturnFigures(7, 250.0, 31.5, 88),
        ),
        forwarders=lambda: [STATUS],
    )


async def answered(client: aiohttp.ClientSession, url: str, status: int = 200) -> Any:
    async with client.get(url) as answer:
        assert answer.status == status
        return await answer.json()


async def test_usage_is_answered_with_the_quota(client: aiohttp.ClientSession, url: str) -> None:
    answer = await answered(client, f"{url}/v1/usage?per=tenant")
    acme = {"per": "tenant", "tenant": "acme", "store": None, "device": None}
    counts = {"frames": 2, "events": 30, "bytes": 400, "quota_bytes": 1000, "quota_events": None}
    assert answer["usage"] == [{**acme, **counts}, {**acme, **counts, "tenant": "other"}]
    assert (answer["month"], answer["next"]) == ("2026-11", None)


async def test_usage_comes_in_pages(client: aiohttp.ClientSession, url: str) -> None:
    names = []
    after = ""
    for _ in range(9):
        answer = await answered(client, f"{url}/v1/usage?limit=1{after}")
        names += [(one["tenant"], one["store"], one["device"]) for one in answer["usage"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"
    assert [tuple(filter(None, name)) for name in names] == SCOPES
    assert (await answered(client, f"{url}/v1/usage?month=2025-01"))["usage"] == []


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("month=2026-13", 400, "month"),
        ("per=till", 400, "per"),
        ("after=A", 400, "after"),
        ("tenant=all", 400, "tenant"),
        ("month=1999-01", 503, "usage"),
    ],
)
async def test_what_cannot_be_answered_is_named(
    client: aiohttp.ClientSession, url: str, query: str, status: int, field: str
) -> None:
    answer = await answered(client, f"{url}/v1/usage?{query}", status)
    assert answer["error"]["field"] == field


async def test_credit_and_returns_are_answered(client: aiohttp.ClientSession, url: str) -> None:
    flow = await answered(client, f"{url}/v1/flow")
    assert flow == {
        "credit_bytes": 99,
        "reason": "the queue to the journal is filling",
        "holding": {"hook": "forwarder hook is far behind"},
        "starved_devices": 4,
        "returning": {
            "waiting": 7,
            "starts_per_s": 250.0,
            "last_start_s": 31.5,
            "started": 88,
        },
    }
    assert (await answered(client, f"{url}/v1/status"))["flow"] == flow


async def test_breakers_and_backlogs_are_answered(client: aiohttp.ClientSession, url: str) -> None:
    [one] = (await answered(client, f"{url}/v1/forwarders"))["forwarders"]
    assert (one["breaker"], one["breaker_opened"], one["retry_in_s"]) == ("open", 2, 4.0)
    assert (one["lag_frames"], one["lag_bytes"], one["lag_age_s"]) == (3, 5000, 12.5)


async def test_figures_are_exposed(client: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20), client.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    for line in (
        'whimbrel_forward_breaker{forwarder="hook",state="open"} 1.0',
        'whimbrel_forward_breaker{forwarder="hook",state="closed"} 0.0',
        'whimbrel_forward_breaker_opened_total{forwarder="hook"} 2.0',
        'whimbrel_forward_lag_bytes{forwarder="hook"} 5000.0',
        'whimbrel_forward_lag_seconds{forwarder="hook"} 12.5',
        'whimbrel_forward_holds_devices{forwarder="hook"} 1.0',
        "whimbrel_credit_bytes 99.0",
        'whimbrel_forward_rung{forwarder="hook",rung="store-only"} 1.0',
        'whimbrel_forward_rung{forwarder="hook",rung="full"} 0.0',
        'whimbrel_forward_skipped_events_total{forwarder="hook"} 60.0',
        "whimbrel_starved_devices 4.0",
        "whimbrel_returning_devices 7.0",
        "whimbrel_returning_seconds 31.5",
        "whimbrel_device_starts_total 88.0",
        'whimbrel_usage_bytes{tenant="acme"} 400.0',
        'whimbrel_usage_events{tenant="other"} 30.0',
    ):
        assert line in lines
