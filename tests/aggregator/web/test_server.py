from __future__ import annotations

import asyncio
import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from committed.journal import KEY, Committer, address, events
from servers.missing import find_program
from whimbrel_aggregator.ingest.strangers import Strangers
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.secretfile import SecretFileError
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web.openapi import document
from whimbrel_aggregator.web.server import make_app

from .conftest import TOKEN, Serve

PUBLIC_KEY = KEY.public.to_text()
DEVICE = {"tenant": "acme", "store": "store-1", "device": "till-1", "public_key": PUBLIC_KEY}


async def test_health_and_readiness_answer(client: aiohttp.ClientSession, url: str) -> None:
    async with client.get(f"{url}/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"alive": True})
    async with client.get(f"{url}/readyz") as answer:
        assert (answer.status, await answer.json()) == (200, {"ready": True, "reason": ""})


async def test_a_token_is_asked_for_everywhere_but_for_health(
    client: aiohttp.ClientSession, serve: Serve, token_file: Path
) -> None:
    url = await serve(token_file)
    paths = [path for path, _ in _operations() if path not in ("/healthz", "/readyz")]
    for path in paths:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            async with client.get(url + path, headers=headers) as answer:
                assert answer.status == 401, path
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert TOKEN not in await answer.text()
    async with client.get(f"{url}/healthz") as answer:
        assert answer.status == 200
    headers = {"Authorization": f"bearer {TOKEN}", "Host": "region.example"}
    async with client.get(f"{url}/v1/status", headers=headers) as answer:
        assert answer.status == 200


async def test_a_token_file_that_others_can_read_keeps_the_server_down(
    serve: Serve, token_file: Path
) -> None:
    await asyncio.to_thread(token_file.chmod, 0o640)
    with pytest.raises(SecretFileError, match="chmod 600"):
        await serve(token_file)


async def test_without_a_token_only_loopback_names_are_served(
    client: aiohttp.ClientSession, url: str
) -> None:
    for host, status in (("evil.example", 403), ("localhost", 200), ("[::1]:1", 200)):
        async with client.get(f"{url}/v1/status", headers={"Host": host}) as answer:
            assert answer.status == status, host


async def test_devices_are_enrolled_listed_and_removed(
    client: aiohttp.ClientSession, url: str
) -> None:
    async with client.post(f"{url}/v1/devices", json={**DEVICE, "label": "door"}) as answer:
        assert answer.status == 201
        made = await answer.json()
    assert made["public_keys"] == [PUBLIC_KEY]
    assert made["region"] == "eu-1"
    async with client.post(f"{url}/v1/devices", json={**DEVICE, "label": "door"}) as answer:
        assert answer.status == 200
    other = {**DEVICE, "public_key": "A" * 43 + "="}
    async with client.post(f"{url}/v1/devices", json=other) as answer:
        assert answer.status == 409
    async with client.post(f"{url}/v1/devices", json={**other, "replace": True}) as answer:
        assert (answer.status, (await answer.json())["public_keys"]) == (200, ["A" * 43 + "="])
    async with client.get(f"{url}/v1/devices") as answer:
        assert [one["device"] for one in (await answer.json())["devices"]] == ["till-1"]
    async with client.delete(f"{url}/v1/devices/acme/store-1/till-1") as answer:
        assert answer.status == 200
        assert (await answer.json())["removed"]
    async with client.delete(f"{url}/v1/devices/acme/store-1/till-1") as answer:
        assert answer.status == 404
    async with client.get(f"{url}/v1/devices") as answer:
        assert (await answer.json())["devices"] == []
    async with client.get(f"{url}/v1/devices", params={"removed": "true"}) as answer:
        assert len((await answer.json())["devices"]) == 1


async def test_devices_come_in_pages(client: aiohttp.ClientSession, url: str) -> None:
    for number in range(5):
        device = {**DEVICE, "device": f"till-{number}"}
        async with client.post(f"{url}/v1/devices", json=device) as answer:
            assert answer.status == 201
    found: list[str] = []
    given = {"limit": "2"}
    while True:
        async with client.get(f"{url}/v1/devices", params=given) as answer:
            part = await answer.json()
        found += [one["device"] for one in part["devices"]]
        if part["next"] is None:
            break
        given["after"] = part["next"]
    assert found == [f"till-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tenant": "all"}, "tenant"),
        ({"store": "Store"}, "store"),
        ({"device": None}, "device"),
        ({"region": "us-1"}, "region"),
        ({"public_key": "short"}, "public_key"),
        ({"public_key": "A" * 43 + "B"}, "public_key"),
        ({"public_key": "A" * 42 + "B="}, "public_key"),
        ({"label": "two\nlines"}, "label"),
        ({"label": "x" * 201}, "label"),
        ({"replace": "yes"}, "replace"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_a_bad_device_is_refused_by_field(
    client: aiohttp.ClientSession, url: str, change: dict[str, Any], field: str
) -> None:
    async with client.post(f"{url}/v1/devices", json={**DEVICE, **change}) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["field"] == field


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * 70_000, "application/json", 413),
    ],
)
async def test_a_bad_body_is_an_answer_not_a_crash(
    client: aiohttp.ClientSession, url: str, body: bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type}
    async with client.post(f"{url}/v1/devices", data=body, headers=headers) as answer:
        assert answer.status == status
        assert set((await answer.json())["error"]) == {"field", "value", "rule"}


async def test_strangers_are_listed_the_last_heard_first(
    client: aiohttp.ClientSession, services: Services, runner: ThreadRunner
) -> None:
    heard = Strangers(hold_s=60)
    for number, name in enumerate(("till-8", "till-9", "till-8")):
        heard.note(address(device=name), b"keyid%03d" % number, "not enrolled", now_ns=number)
    server = web.AppRunner(make_app(dataclasses.replace(services, strangers=heard.list), runner))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}/v1/strangers"
    async with client.get(url) as answer:
        listed = (await answer.json())["strangers"]
    assert [(one["device"], one["messages"]) for one in listed] == [("till-8", 2), ("till-9", 1)]
    assert listed[0]["key_id"] == b"keyid002".hex()
    assert listed[0]["why"] == "not enrolled"
    async with client.get(url, params={"x": "1"}) as answer:
        assert answer.status == 400
    await server.cleanup()


async def test_wrong_methods_and_paths_have_json_answers(
    client: aiohttp.ClientSession, url: str
) -> None:
    async with client.put(f"{url}/v1/events") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert (await answer.json())["error"]["field"] == "method"
    async with client.get(f"{url}/v2") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["field"] == "path"


async def test_a_defect_behind_one_path_is_an_answer_and_the_others_go_on(
    client: aiohttp.ClientSession, services: Services, runner: ThreadRunner
) -> None:
    broken = dataclasses.replace(services, ingest=lambda: {"x": 1 // 0})
    server = web.AppRunner(make_app(broken, runner))
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}"
    async with client.get(f"{url}/v1/status") as answer:
        assert (answer.status, (await answer.json())["error"]["field"]) == (500, "request")
    async with client.get(f"{url}/healthz") as answer:
        assert answer.status == 200
    await server.cleanup()


async def test_parked_events_are_listed_and_forgotten(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 3)], columns=b"\x10\x01bad")
    async with client.get(f"{url}/v1/events") as answer:
        assert (await answer.json())["unreadable"] == 1
    params = {"forwarder": "unreadable"}
    async with client.get(f"{url}/v1/parked", params=params) as answer:
        [parked] = (await answer.json())["parked"]
    assert parked["event_id"].endswith("/1+3")
    async with client.delete(f"{url}/v1/parked/{parked['id']}") as answer:
        assert answer.status == 200
    async with client.delete(f"{url}/v1/parked/{parked['id']}") as answer:
        assert answer.status == 404


async def test_an_attached_consumer_can_be_seen_rebound_and_detached(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.journal.attach("old-hook")
    async with client.get(f"{url}/v1/forwarders") as answer:
        [one] = (await answer.json())["forwarders"]
    assert (one["name"], one["state"]) == ("old-hook", "absent")
    async with client.post(f"{url}/v1/forwarders/old-hook/rebind") as answer:
        assert answer.status == 200
    async with client.delete(f"{url}/v1/forwarders/old-hook") as answer:
        assert answer.status == 200
    for method, path in (("DELETE", "old-hook"), ("POST", "old-hook/rebind")):
        async with client.request(method, f"{url}/v1/forwarders/{path}") as answer:
            assert answer.status == 404


async def test_metrics_pass_promtool(client: aiohttp.ClientSession, url: str) -> None:
    promtool = find_program("promtool")
    async with client.get(f"{url}/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.read()
    assert b'whimbrel_ingest_total{kind="frames_committed"} 3.0' in text
    checked = await asyncio.to_thread(_promtool, promtool, text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def _promtool(program: Path, text: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [str(program), "check", "metrics"]
    return subprocess.run(command, input=text, capture_output=True, check=False)


async def test_status_holds_the_regions_figures(
    client: aiohttp.ClientSession, url: str, committer: Committer
) -> None:
    await committer.commit([events(1, 3), events(4, 3)])
    async with client.get(f"{url}/v1/status") as answer:
        status = await answer.json()
    assert (status["region"], status["partitions"], status["frames"]) == ("eu-1", 1, 2)
    assert status["generation"] == committer.journal.generation.hex()
    assert status["journal"]["used_bytes"] > 0


def _operations() -> list[tuple[str, str]]:
    paths = document(version="0", region="eu-1")["paths"]
    return [(path, method) for path in paths for method in paths[path]]


async def test_every_documented_operation_exists_and_every_route_is_documented(
    client: aiohttp.ClientSession, url: str
) -> None:
    async with client.get(f"{url}/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    for path, operations in paths.items():
        concrete = re.sub(r"\{\w+\}", "x", path)
        async with client.request("PATCH", url + concrete) as answer:
            assert answer.status == 405, path
            allowed = set(answer.headers["Allow"].split(", ")) - {"HEAD"}
        assert allowed == {method.upper() for method in operations}
