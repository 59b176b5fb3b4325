"""The region confirms an import: its count and digest are those that the agent printed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from servers.mosquitto import MosquittoServer
from servers.waiting import wait_until
from whimbrel_sim.fleet import Agent
from whimbrel_sim.program import run_command
from whimbrel_sim.world import World

ROWS = 600
REST = 100
BULK = {"lanes.bulk": {"batch_events": 200, "linger_s": 600}}
"""The import hands over 500 rows, which are sealed at once, then a rest that stays staged."""


def write_sales(path: Path, numbers: list[int]) -> None:
    lines = (f"{number},SKU{number % 97:03},{number * 0.25:.2f}\n" for number in numbers)
    path.write_text("number,sku,price\n" + "".join(lines))


def import_sales(agent: Agent, sales: Path) -> dict[str, Any]:
    """Import by the real command into the running agent, and wait until the region has it."""
    config = ("--config", str(agent.config_file), "--json")
    text = run_command(
        agent.module, "import", str(sales), *config, "--id", "sales", "--type", "sale",
        "--source", "till", "--map", "number=number:int", "--map", "price=price:decimal",
        folder=agent.folder,
    )  # fmt: skip
    wait_until(
        lambda: agent.status()["buffer"]["pending"] == REST,
        timeout_s=60,
        what="receipts for the full frames",
    )
    # nothing is in flight, nothing will be accepted: only the drain makes the rest go
    drained = json.loads(run_command(agent.module, "drain", *config, folder=agent.folder))
    assert drained["drained"], drained
    summary: dict[str, Any] = json.loads(text)
    return summary


def confirm(world: World, *expected: str) -> tuple[int, dict[str, Any]]:
    """Ask the region by the real command; its exit status and answer."""
    command = [
        *(sys.executable, "-m", world.region.module, "verify", "--import", "sales", "--json"),
        *("--config", str(world.region.config_file), *expected),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


async def test_the_region_confirms_count_and_digest_and_no_others_nor_another_order(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, MosquittoServer(tmp_path / "broker"), seed=8) as world:
        await world.start_region()
        numbers = list(range(ROWS))
        told = await import_at(world, "till-1", numbers)
        expected = ["--count", str(ROWS), "--digest", told["digest"]]
        status, answer = await asyncio.to_thread(confirm, world, *expected)
        assert (status, answer["confirmed"], answer["wrong"]) == (0, True, [])
        [found] = answer["devices"]
        assert (found["count"], found["digest"]) == (told["count"], told["digest"])
        assert (found["count"], found["complete"]) == (ROWS, True)

        wrong = ["--count", str(ROWS + 1), "--digest", "0" * len(told["digest"])]
        status, answer = await asyncio.to_thread(confirm, world, *wrong)
        assert status != 0
        assert not answer["confirmed"]
        assert len(answer["wrong"]) == 2

        numbers[300], numbers[301] = numbers[301], numbers[300]
        swapped = await import_at(world, "till-2", numbers)
        status, answer = await asyncio.to_thread(confirm, world, *expected)
        assert status != 0
        assert answer["wrong"] == [
            f"acme/store-1/till-2: digest is {swapped['digest']}, not {told['digest']}"
        ]


async def import_at(world: World, device: str, numbers: list[int]) -> dict[str, Any]:
    agent = await world.add_agent(device=device, settings=BULK)
    await world.until_resumed(agent)
    sales = world.folder / f"{device}.csv"
    write_sales(sales, numbers)
    return await asyncio.to_thread(import_sales, agent, sales)
