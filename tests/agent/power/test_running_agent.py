"""A whole agent on a simulated battery: from mains to low to critical, and back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from servers.agent import AgentServer
from servers.mosquitto import MosquittoServer
from servers.waiting import eventually, wait_until
from supplies.tree import SysfsTree
from whimbrel_agent import exits
from whimbrel_agent.app import serve
from whimbrel_agent.configfile import load_config
from whimbrel_agent.keyfile import read_key
from whimbrel_agent.parts import Parts
from whimbrel_agent.power.modes import Mode
from whimbrel_protocol.keys import PrivateKey
from worlds.region import BrokerRegion

REGION_KEY = PrivateKey(b"r" * 32)
END_TIMEOUT_S = 60.0

POWER = """
[lanes.bulk]
linger_s = 3600
[power]
sys = "sys"
max_poll_s = 0.05
shortest_runtime_s = 1
"""


@pytest.fixture
def tree(tmp_path: Path) -> SysfsTree:
    tree = SysfsTree(tmp_path / "sys")
    tree.battery(percent=80, status="Charging")
    tree.mains(online=True)
    return tree


@pytest.fixture
def agent(tmp_path: Path, tree: SysfsTree, free_port: int) -> Iterator[AgentServer]:
    agent = AgentServer(tmp_path, uplink=f"mqtt://127.0.0.1:{free_port}", more=POWER)
    yield agent
    agent.kill()


def discharge(tree: SysfsTree, percent: int) -> None:
    tree.mains(online=False)
    tree.battery(percent=percent, status="Discharging")


def sell(agent: AgentServer, lane: str, numbers: range) -> None:
    lines = "".join(
        json.dumps({"type": "sale", "source": "till", "lane": lane, "data": {"n": n}}) + "\n"
        for n in numbers
    )
    done = agent.run_command("emit", "--stdin", given=lines.encode())
    assert done.returncode == 0, done.stderr.decode()


def in_mode(agent: AgentServer, mode: str) -> dict[str, Any]:
    """Wait for the mode, and give what status says of power."""
    wait_until(
        lambda: agent.status()["power"]["mode"] == mode, timeout_s=30, what=f"the mode {mode}"
    )
    power: dict[str, Any] = agent.status()["power"]
    return power


def resting(agent: AgentServer) -> dict[str, Any]:
    """Wait until the radio rests, and give what status says of the uplink."""
    wait_until(
        lambda: agent.status()["uplink"]["link"] == "down", timeout_s=30, what="a rest of the radio"
    )
    uplink: dict[str, Any] = agent.status()["uplink"]
    assert "rests" in uplink["doing"]
    return uplink


def ended(agent: AgentServer) -> int:
    assert agent.process is not None
    return agent.process.wait(END_TIMEOUT_S)


def messages(agent: AgentServer) -> list[str]:
    return [json.loads(line)["message"] for line in agent.log_file.read_text().splitlines()]


async def test_from_mains_to_critical_everything_reaches_the_region(
    mosquitto: MosquittoServer, tmp_path: Path, tree: SysfsTree
) -> None:
    agent = AgentServer(
        tmp_path, uplink=mosquitto.url, region_key=REGION_KEY.public.to_text(), more=POWER
    )
    region = BrokerRegion(REGION_KEY, read_key(tmp_path / "device.key").public)

    def numbers() -> list[int]:
        return sorted(event.data["n"] for event in region.events)

    async with region.attached(mosquitto.host, mosquitto.port):
        try:
            await asyncio.to_thread(agent.start)
            power = await asyncio.to_thread(in_mode, agent, "mains")
            assert power["source"] == "sysfs AC, BAT0"
            await asyncio.to_thread(sell, agent, "bulk", range(50))

            discharge(tree, 80)
            power = await asyncio.to_thread(in_mode, agent, "battery")
            assert power["reason"] == "on battery at 80 %"

            discharge(tree, 15)
            power = await asyncio.to_thread(in_mode, agent, "low")
            assert power["reason"] == "on battery at 15 %, at or below 20 %"
            assert power["settings"]["sessions_per_h"] == 4
            shown = (await asyncio.to_thread(agent.run_command, "status")).stdout.decode()
            assert "power           low: on battery at 15 %, at or below 20 %; 3.90 V" in shown
            await asyncio.to_thread(resting, agent)
            assert numbers() == []  # bulk lingers
            await asyncio.to_thread(sell, agent, "critical", range(50, 60))
            await eventually(lambda: len(numbers()) == 60, timeout_s=30, what="all of it")
            await asyncio.to_thread(resting, agent)
            await asyncio.to_thread(sell, agent, "bulk", range(60, 110))
            uplink = await asyncio.to_thread(resting, agent)
            assert uplink["counts"]["links_rested"] >= 2
            assert agent.status()["buffer"]["pending"] == 50

            discharge(tree, 4)
            assert await asyncio.to_thread(ended, agent) == exits.POWER
        finally:
            agent.kill()
        assert numbers() == list(range(110))
    told = messages(agent)
    assert told[-1] == "stopped"
    assert "the charge stops the agent" in told
    ledger = agent.run_command("buffer", "verify")
    assert ledger.returncode == 0, ledger.stdout.decode()


async def test_where_nobody_knows_the_supply_sessions_are_as_few_as_the_hardware_asks(
    mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    few = '[power]\nsource = "none"\nsessions_per_h = 2\n[lanes.normal]\nlinger_s = 0\n'
    agent = AgentServer(
        tmp_path, uplink=mosquitto.url, region_key=REGION_KEY.public.to_text(), more=few
    )
    region = BrokerRegion(REGION_KEY, read_key(tmp_path / "device.key").public)

    async with region.attached(mosquitto.host, mosquitto.port):
        try:
            await asyncio.to_thread(agent.start)
            power = await asyncio.to_thread(in_mode, agent, "mains")
            assert power["settings"]["sessions_per_h"] == 2
            for some in (range(5), range(5, 10)):  # what is under way at the start is no session
                await asyncio.to_thread(sell, agent, "normal", some)
                all_of_it = partial(has_arrived, region, some.stop)
                await eventually(all_of_it, timeout_s=30, what="a session")
                await asyncio.to_thread(resting_linked, agent, "nothing waits")
            await asyncio.to_thread(sell, agent, "normal", range(10, 15))
            await asyncio.to_thread(resting_linked, agent, "the next of 2 sessions an hour")
            assert has_arrived(region, 10)
            await asyncio.to_thread(sell, agent, "critical", range(15, 17))
            await eventually(partial(has_arrived, region, 17), timeout_s=30, what="all of it")
        finally:
            agent.kill()


def has_arrived(region: BrokerRegion, events: int) -> bool:
    return len(region.events) == events


def resting_linked(agent: AgentServer, why: str) -> None:
    """Wait until the radio rests for that reason, with the connection held."""

    def is_so() -> bool:
        uplink = agent.status()["uplink"]
        return bool(uplink["link"] == "up" and f"rests: {why}" in uplink["doing"])

    wait_until(is_so, timeout_s=30, what=f"a rest: {why}")


def test_without_a_link_everything_is_sealed_and_kept(agent: AgentServer, tree: SysfsTree) -> None:
    agent.start()
    sell(agent, "bulk", range(50))
    discharge(tree, 4)
    assert ended(agent) == exits.POWER
    assert [event["data"]["n"] for event in agent.events()] == list(range(50))
    found = agent.answer_of("buffer", "inspect")["buffer"]["lanes"]
    assert [lane["staged_events"] for lane in found] == [0] * len(found)
    assert agent.run_command("buffer", "verify").returncode == 0


def misreads(agent: AgentServer) -> int:
    return sum(agent.status()["power"]["misread"].values())


def at_least(agent: AgentServer, count: int) -> bool:
    return misreads(agent) >= count


def test_misread_voltages_and_charges_do_not_stop_it(agent: AgentServer, tree: SysfsTree) -> None:
    agent.start()
    discharge(tree, 60)
    in_mode(agent, "battery")
    wrong: list[dict[str, object]] = [
        {"voltage_now": 0},
        {"voltage_now": -1},
        {"capacity": 255},
        {"capacity": -3},
    ]
    for files in wrong:
        wanted = misreads(agent) + 20
        tree.put("BAT0", **files)
        wait_until(partial(at_least, agent, wanted), timeout_s=30, what="twenty misreads")
        discharge(tree, 60)
    power = agent.status()["power"]
    assert (power["mode"], power["stopping"]) == ("battery", False)
    assert "not believed:" in agent.run_command("status").stdout.decode()


# ------------------------------------------------------------------ started with an empty battery


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        yield manager


@asynccontextmanager
async def serving(agent: AgentServer, stop: asyncio.Event) -> AsyncIterator[list[Parts]]:
    """The agent in this process; the list has its parts once it is ready."""
    parts: list[Parts] = []
    environment = {"NOTIFY_SOCKET": str(agent.folder / "notify")}
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve(load_config(agent.config), stop=stop, ready=parts.append, environment=environment)
        )
        yield parts
        stop.set()


async def test_started_empty_it_opens_nothing_until_there_is_mains(
    agent: AgentServer, tree: SysfsTree, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_agent.power.confirming.MAINS_BACK_S", 0.1)
    discharge(tree, 3)
    async with serving(agent, asyncio.Event()) as parts:
        for _ in range(20):
            told = (await asyncio.to_thread(manager.recv, 500)).decode()
            assert told.startswith("READY=1\nWATCHDOG=1\nSTATUS=waiting for charge: ")
        assert told.endswith("on battery at 3 %, at or below 5 %")
        assert parts == []
        assert not (agent.folder / "buffer.db").exists()
        tree.mains(online=True)
        tree.battery(percent=3, status="Charging")
        await eventually(lambda: bool(parts), timeout_s=30, what="the start")
        assert parts[0].power.mode is Mode.MAINS


async def test_told_to_stop_while_it_waits_it_ends(
    agent: AgentServer, tree: SysfsTree, manager: socket.socket
) -> None:
    discharge(tree, 3)
    stop = asyncio.Event()
    async with serving(agent, stop) as parts:
        await asyncio.to_thread(manager.recv, 500)
        stop.set()
    assert parts == []


async def test_a_stop_that_was_asked_for_is_not_one_of_the_charge(agent: AgentServer) -> None:
    stop = asyncio.Event()
    config = load_config(agent.config)
    why = await serve(config, stop=stop, ready=lambda _: stop.set(), environment={})
    assert why == ""
