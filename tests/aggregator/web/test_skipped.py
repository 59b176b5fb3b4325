from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from whimbrel_aggregator.forward.skipped import Skipped
from whimbrel_aggregator.forward.thinning import SkippedKeeper
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import DirectRunner
from whimbrel_aggregator.services import Services

RUN = Skipped(
    forwarder="hook",
    partition=PartitionKey("acme", "store-1"),
    rung="store-only",
    first=10,
    last=19,
    frames=7,
    events=700,
    min_ns=1_795_341_600_000_000_000,
    max_ns=1_795_341_660_000_000_000,
)


@pytest.fixture
def keeper(tmp_path: Path) -> SkippedKeeper:
    return SkippedKeeper(tmp_path / "skipped", DirectRunner())


@pytest.fixture
def services(services: Services, keeper: SkippedKeeper) -> Services:
    return replace(services, skipped=keeper)


async def test_runs_are_listed_in_pages_with_the_times_of_their_events(
    client: aiohttp.ClientSession, url: str, keeper: SkippedKeeper
) -> None:
    for forwarder in ("hook", "other", "hook"):
        await keeper.add(replace(RUN, forwarder=forwarder), goes_on=False)
    async with client.get(f"{url}/v1/skipped?forwarder=hook&limit=1") as answer:
        page = await answer.json()
    assert page == {
        "skipped": [
            {
                "id": 1,
                "forwarder": "hook",
                "tenant": "acme",
                "store": "store-1",
                "rung": "store-only",
                "first_offset": 10,
                "last_offset": 19,
                "frames": 7,
                "events": 700,
                "since": "2026-11-22T10:00:00Z",
                "until": "2026-11-22T10:01:00.000000001Z",
            }
        ],
        "next": 1,
    }
    async with client.get(f"{url}/v1/skipped?forwarder=hook&after=1") as answer:
        page = await answer.json()
    assert ([one["id"] for one in page["skipped"]], page["next"]) == ([3], None)
    await keeper.close()


async def test_a_run_is_dropped_once(
    client: aiohttp.ClientSession, url: str, keeper: SkippedKeeper
) -> None:
    for status in (404, 200, 404):
        if status == 200:
            await keeper.add(RUN, goes_on=False)
        async with client.delete(f"{url}/v1/skipped/1") as answer:
            assert answer.status == status
    await keeper.close()
