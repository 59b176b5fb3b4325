"""The shipped agents at a region that limits them, in a world whose promises are checked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression

import pytest

from whimbrel_aggregator.config import AggregatorConfig, LimitConfig, ReturningConfig
from whimbrel_sim.worlds.region import RegionMachine
from whimbrel_sim.worlds.scenario import parse
from whimbrel_sim.worlds.world import World
from worlds.virtual import in_virtual_time

RATE = 4096
BURST = 131_072
BUSY = """
story = "Three devices that have many times more to say than they may."
duration_s = 60
drain_s = 3000
[fleet]
devices = 3
max_bytes = 33554432
[[load]]
every_s = 1
events = 60
steady = true
padding_bytes = 400
"""


def limit_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RegionMachine.config

    def limited(self: RegionMachine) -> AggregatorConfig:
        return replace(
            plain(self),
            limits=(LimitConfig(per="tenant", bytes_per_s=RATE, burst_bytes=BURST),),
            returning=ReturningConfig(share_per_s=0.0001, least_per_s=1),
        )

    monkeypatch.setattr(RegionMachine, "config", limited)


@pytest.mark.slow
@in_virtual_time
async def test_agents_are_admitted_at_the_rate_and_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_regions(monkeypatch)
    world = World(parse("busy", BUSY), 1, tmp_path)
    readings: list[tuple[float, int]] = []
    totals: dict[str, int] = {}

    async def watch() -> None:
        while True:
            await asyncio.sleep(1)
            [region] = [one for one in world.machines if isinstance(one, RegionMachine)]
            if region.aggregator is not None:
                services = region.aggregator.services()
                _, rows = await services.usage(None)
                used = sum(row.usage.size_bytes for row in rows if not row.scope)
                readings.append((asyncio.get_running_loop().time(), used))
                totals.update(services.ingest())

    task = asyncio.get_running_loop().create_task(watch())
    await world.run()
    task.cancel()
    assert totals["holds_limited"] > 10
    assert totals["dropped_over_limit"] == totals["frames_duplicate"] == 0
    most = readings[-1][1]
    busy = [(at_s, used) for at_s, used in readings if 2 * BURST < used < most - BURST]
    times_s, used_bytes = zip(*busy, strict=True)
    assert times_s[-1] - times_s[0] > 60
    # what comes, comes in lumps of a credit each: the line through them is the rate
    assert linear_regression(times_s, used_bytes).slope == pytest.approx(RATE, rel=0.05)
