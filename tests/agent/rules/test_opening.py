"""Rules as a part of a real agent: kills, drains, raw events, and nothing where there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from servers.agent import AgentServer
from whimbrel_agent.localhttp.client import LocalClient

WINDOW = """
[[rules]]
name = "minute"
when = 'type == "t"'
do = "window"
fields = ["v"]
window_s = 86400
"""


def post(agent: AgentServer, values: list[int], key: str) -> dict[str, Any]:
    lines = [
        json.dumps({"type": "t", "source": "s", "time_ns": 10**18 + value, "data": {"v": value}})
        for value in values
    ]
    with LocalClient(agent.socket) as client:
        answer = client.request(
            "POST",
            "/v1/events",
            "\n".join(lines).encode(),
            media_type="application/x-ndjson",
            headers={"idempotency-key": key},
        )
    assert answer.status == 202, answer.body
    members: dict[str, Any] = answer.json()
    return members


@pytest.mark.timeout(90)
def test_a_window_survives_kills_and_is_sent_by_a_drain(tmp_path: Path) -> None:
    agent = AgentServer(tmp_path / "device", more=WINDOW)
    for value in range(3):
        agent.start()
        assert post(agent, [value, value + 10], f"key-{value}")["accepted"][0]["ruled"]
        agent.kill()
    agent.start()
    again = post(agent, [2, 12], "key-2")
    assert (again["count"], again["repeated"]) == (2, 2)
    figures = agent.status()["rules"]["minute"]
    assert (figures["taken"], figures["held"], figures["suppressed"]) == (6, 6, {"summarised": 6})
    assert agent.run_command("drain", "--timeout", "0").returncode == 1  # nobody takes it
    agent.stop()
    (event,) = agent.events()
    assert (event["type"], event["data"]["count"], event["data"]["v_sum"]) == ("t.window", 6, 36)


@pytest.mark.timeout(90)
def test_an_agent_whose_rules_are_gone_sends_what_they_held(tmp_path: Path) -> None:
    with AgentServer(tmp_path / "device", more=WINDOW) as agent:
        post(agent, [1, 2], "a")
    with AgentServer(tmp_path / "device") as agent:
        assert agent.status()["rules"] == {}
        assert agent.status()["raw"] is None
        assert not post(agent, [3], "b")["accepted"][0].get("ruled")
        with LocalClient(agent.socket) as client:
            asked = "/v1/raw?source=s&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
            assert client.request("GET", asked).status == 404
    assert [event["type"] for event in agent.events()] == ["t.window", "t"]


@pytest.mark.timeout(90)
def test_what_an_import_brings_goes_past_the_rules(tmp_path: Path) -> None:
    with AgentServer(tmp_path / "device", more=WINDOW) as agent:
        file = tmp_path / "old.ndjson"
        file.write_text('{"type":"t","source":"s","data":{"v":1}}\n' * 5)
        assert agent.run_command("import", file).returncode == 0
        emitted = agent.run_command("emit", "--type", "t", "--source", "s", "v:int=1")
        assert b"held by an edge rule" in emitted.stdout
        assert agent.status()["rules"]["minute"]["taken"] == 1
    assert [event["type"] for event in agent.events()] == ["t"] * 5


@pytest.mark.timeout(60)
def test_a_bad_range_of_raw_events_is_refused(tmp_path: Path) -> None:
    with (
        AgentServer(tmp_path / "device", more=WINDOW + "raw_days = 1\n") as agent,
        LocalClient(agent.socket) as client,
    ):
        for asked, said in (
            ("source=s&from=2026-01-01T00:00:00Z", "to is missing"),
            ("source=s&from=today&to=2026-01-01T00:00:00Z", "from is 'today'"),
        ):
            answer = client.request("GET", f"/v1/raw?{asked}")
            assert (answer.status, said in answer.json()["error"]) == (400, True), answer.body
