"""What a running agent says when it is asked to explain itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from documents import ROOT
from servers.agent import AgentServer
from servers.mosquitto import MosquittoServer
from servers.waiting import wait_until
from supplies.tree import SysfsTree
from whimbrel_agent import layout
from whimbrel_agent.decisions import explaintext
from whimbrel_agent.decisions.replaying import DECIDERS, decide_again
from whimbrel_agent.keyfile import read_key
from whimbrel_protocol.keys import PrivateKey
from worlds.region import BrokerRegion

PAGE = ROOT / "agent" / "README.md"
REGION_KEY = PrivateKey(b"r" * 32)

SETTINGS = """
[lanes.bulk]
linger_s = 3600
[uplink.links.lo]
interfaces = ["lo"]
rate_limit = "10 Mbit/s"
[power]
sys = "sys"
max_poll_s = 0.05
shortest_runtime_s = 1
"""


def sell(agent: AgentServer, lane: str, count: int) -> None:
    event = {"type": "sale", "source": "till", "lane": lane, "data": {"n": 1}}
    done = agent.run_command(
        "emit", "--stdin", given=b"".join([json.dumps(event).encode() + b"\n"] * count)
    )
    assert done.returncode == 0, done.stderr.decode()


def explained(agent: AgentServer) -> dict[str, Any]:
    told: dict[str, Any] = agent.answer_of("explain")
    return told


def lane_of(told: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [lane for lane in told["lanes"] if lane["lane"] == name]
    return dict(found)


def every_decision_is_made_again(told: dict[str, Any]) -> set[str]:
    for one in told["decisions"]:
        assert decide_again(one["by"], one["inputs"]) == one["decision"], one
    return {one["by"] for one in told["decisions"]}


def test_without_a_region_it_says_what_holds_each_lane(tmp_path: Path) -> None:
    with AgentServer(tmp_path, more="[lanes.bulk]\nlinger_s = 3600\n") as agent:
        sell(agent, "bulk", 3)
        sell(agent, "critical", 2)
        wait_until(
            lambda: lane_of(explained(agent), "critical")["frames"] == 1,
            timeout_s=30, what="a sealed frame",
        )  # fmt: skip
        told = explained(agent)
        bulk, critical = lane_of(told, "bulk"), lane_of(told, "critical")
        assert (bulk["unsealed_events"], bulk["batch_events"], bulk["why"]) == (3, 1000, "")
        assert 3500 < bulk["sealed_in_s"] <= 3600
        assert critical["why"] == told["uplink"]["blocked"] != ""
        assert told["outlook"]["outage_left_s"] > 0
        assert every_decision_is_made_again(told) >= {"seal", "radio", "retry"}
        text = agent.run_command("explain").stdout.decode()
        for words in ("3 of 1000", "next critical", "refused", "the radio is always on"):
            assert words in text, text


async def test_on_battery_it_says_what_is_waited_for_and_why(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    tree = SysfsTree(tmp_path / "sys")
    tree.battery(percent=80, status="Charging")
    tree.mains(online=True)
    agent = AgentServer(
        tmp_path, uplink=mosquitto.url, region_key=REGION_KEY.public.to_text(), more=SETTINGS
    )
    region = BrokerRegion(REGION_KEY, read_key(tmp_path / "device.key").public)

    def story() -> None:
        agent.start()
        tree.mains(online=False)
        tree.battery(percent=15, status="Discharging")
        wait_until(
            lambda: explained(agent)["power"]["mode"] == "low"
            and "rests" in explained(agent)["radio"]["doing"],
            timeout_s=30, what="a rest of the radio",
        )  # fmt: skip
        sell(agent, "normal", 5)
        told = explained(agent)
        normal = lane_of(told, "normal")
        assert normal["unsealed_events"] == 5
        assert 800 < normal["sealed_in_s"] <= 900
        assert told["power"]["reason"] == "on battery at 15 %, at or below 20 %"
        assert told["radio"]["plan"]["sessions_per_h"] == 4
        assert told["uplink"]["window"]["link_class"] == "links.lo"
        deciders = every_decision_is_made_again(told)
        assert deciders >= {"power", "seal", "radio", "link class"}
        text = agent.run_command("explain").stdout.decode()
        for words in ("low: on battery at 15 %", "at most 4 sessions an hour, lets go of the link",
                      "links.lo", "5 of 1000"):  # fmt: skip
            assert words in text, text

    async with region.attached(mosquitto.host, mosquitto.port):
        try:
            await asyncio.to_thread(story)
        finally:
            agent.kill()


def test_the_readmes_picture_has_the_lines_of_the_text() -> None:
    """Every line's name in the picture stands in the program, and every decider in its table."""
    section = PAGE.read_text().partition("## Why it does what it does")[2].partition("\n## ")[0]
    picture = section.partition("```text\n")[2].partition("```")[0]
    names = {text[:16].strip() for text in picture.split("\n\n")[0].splitlines()}
    written = Path(explaintext.__file__).read_text() + Path(layout.__file__).read_text()
    assert [name for name in names if f'"{name}"' not in written] == []
    assert " ".join(picture.split("\n\n")[1].split()).startswith(" ".join(explaintext._HEADS))
    assert [by for by in DECIDERS if f"| `{by}` |" not in section] == []
