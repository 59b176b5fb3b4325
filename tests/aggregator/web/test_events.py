from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from committed.journal import Committer, address, event, events
from whimbrel_aggregator import query
from whimbrel_aggregator.query import MAX_PAGE_BYTES


async def page(client: aiohttp.ClientSession, url: str, **given: str) -> dict[str, Any]:
    async with client.get(f"{url}/v1/events", params=given) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def pages(client: aiohttp.ClientSession, url: str, **given: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        part = await page(client, url, **given, **more)
        found += [(one["store"], one["data"]["number"]) for one in part["events"]]
        cursor = part["next"]
        if cursor is None:
            return found


async def test_pages_cover_everything_once_in_order(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 70), events(71, 70)])
    await committer.commit([events(1, 30)], address("store-2"))
    expected = [("store-1", n) for n in range(1, 141)] + [("store-2", n) for n in range(1, 31)]
    for limit in ("7", "70", "1000"):
        assert await pages(client, url, limit=limit) == expected


async def test_a_page_of_large_events_ends_at_its_bytes_and_the_next_goes_on(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    large = [event(n, data={"number": n, "note": "x" * 60_000}) for n in range(1, 181)]
    await committer.commit([large[:100], large[100:]])
    async with client.get(f"{url}/v1/events", params={"limit": "1000"}) as answer:
        body = await answer.read()
    first = json.loads(body)
    assert MAX_PAGE_BYTES - 70_000 < len(body) < MAX_PAGE_BYTES + 1_000
    assert first["next"] is not None
    expected = [("store-1", n) for n in range(1, 181)]
    assert 1 < len(first["events"]) < len(expected)
    assert await pages(client, url, limit="1000") == expected


async def test_one_event_over_the_bytes_of_a_page_is_a_page(
    client: aiohttp.ClientSession,
    url: str,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(query, "MAX_PAGE_BYTES", 10)
    await committer.commit([events(1, 3)])
    assert len((await page(client, url))["events"]) == 1
    assert await pages(client, url) == [("store-1", 1), ("store-1", 2), ("store-1", 3)]


async def test_filters_leave_only_what_was_asked_for(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([[event(1, zone="front"), event(2), event(3, type="door")]])
    await committer.commit([events(4, 1)], address("store-2"))
    await committer.commit([events(5, 1)], address("store-9", tenant="other"))
    assert await pages(client, url, zone="fr*") == [("store-1", 1)]
    assert await pages(client, url, type="do?r") == [("store-1", 3)]
    assert await pages(client, url, store="store-2") == [("store-2", 4)]
    assert await pages(client, url, tenant="other") == [("store-9", 5)]
    assert await pages(client, url, tenant="nobody") == []


async def test_since_and_until_bound_event_times(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(0, 10)])  # one a millisecond from 10:00
    found = await pages(
        client, url, since="2026-11-22T10:00:00.002Z", until="2026-11-22T10:00:00.005Z"
    )
    assert found == [("store-1", 2), ("store-1", 3), ("store-1", 4)]


async def test_the_cloudevents_package_reads_the_events_of_a_page(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 3)])
    found = await page(client, url)
    read = [JSONFormat().read(CloudEvent, json.dumps(one)) for one in found["events"]]
    assert [one.get_data() for one in read] == [one["data"] for one in found["events"]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant", "Acme"),
        ("store", "a b"),
        ("zone", ""),
        ("type", ""),
        ("since", "yesterday"),
        ("until", "2026-13-01"),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "1e2"),
        ("follow", "yes"),
        ("sinse", "-1h"),
    ],
)
async def test_a_bad_parameter_is_named_with_value_and_rule(
    client: aiohttp.ClientSession, url: str, name: str, value: str
) -> None:
    async with client.get(f"{url}/v1/events", params={name: value}) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert error["field"].removeprefix("query.") == name
    assert set(error) == {"field", "value", "rule"}


@pytest.mark.parametrize("cursor", ["!", "eJyLjgUAARUAuQ", "x" * 8_000, ""])
async def test_a_cursor_that_is_none_of_ours_is_not_found(
    client: aiohttp.ClientSession, url: str, cursor: str
) -> None:
    async with client.get(f"{url}/v1/events", params={"cursor": cursor}) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["field"] == "cursor"


async def test_a_cursor_of_another_generation_is_refused(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 5)])
    cursor = (await page(client, url, limit="2"))["next"]
    committer.journal._storage.generation = b"restored"  # type: ignore[attr-defined]
    async with client.get(f"{url}/v1/events", params={"cursor": cursor}) as answer:
        assert answer.status == 404
        assert "restored" in (await answer.json())["error"]["rule"]


class Stream:
    """A client of server-sent events, read field by field."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.last_id: str | None = None
        self.comments = 0

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                line = (await self._response.content.readline()).decode().rstrip("\n")
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("id: "):
                    self.last_id = line[4:]
                elif line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line[6:])
                    return found


async def test_following_gives_what_is_committed_from_then_on(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 5)])
    async with client.get(f"{url}/v1/events", params={"follow": "true"}) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        stream = Stream(response)
        await response.content.readline()
        await committer.commit([events(6, 3)])
        await committer.commit([events(1, 2)], address("store-2"))
        found = [await stream.next() for _ in range(5)]
    assert [one["data"]["number"] for one in found] == [6, 7, 8, 1, 2]


async def test_following_goes_on_after_the_last_event_id_without_loss_or_repeat(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 5)])
    params = {"follow": "1", "since": "2026-01-01"}
    async with client.get(f"{url}/v1/events", params=params) as response:
        stream = Stream(response)
        for number in (1, 2, 3):
            assert (await stream.next())["data"]["number"] == number
    await committer.commit([events(1, 2)], address("store-2"))
    assert stream.last_id is not None
    headers = {"Last-Event-ID": stream.last_id}
    async with client.get(f"{url}/v1/events", params=params, headers=headers) as response:
        again = Stream(response)
        found = [await again.next() for _ in range(4)]
    assert [(one["store"], one["data"]["number"]) for one in found] == [
        ("store-1", 4),
        ("store-1", 5),
        ("store-2", 1),
        ("store-2", 2),
    ]


async def test_a_wrong_last_event_id_is_an_error_not_an_empty_stream(
    client: aiohttp.ClientSession, url: str
) -> None:
    headers = {"Last-Event-ID": "17"}
    async with client.get(
        f"{url}/v1/events", params={"follow": "true"}, headers=headers
    ) as response:
        assert response.status == 404
        assert (await response.json())["error"]["field"] == "Last-Event-ID"
