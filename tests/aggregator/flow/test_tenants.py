"""A tenant at ten times its rate beside one that keeps within it, in worlds of shipped programs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, quantiles
from typing import Final

import pytest

from whimbrel_aggregator.flow.usage import Usage, month_of
from whimbrel_aggregator.flow.usagefile import read_usage, usage_path
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.region import RegionMachine
from whimbrel_sim.worlds.scenario import parse
from whimbrel_sim.worlds.witness import Witness
from whimbrel_sim.worlds.world import World

RATE: Final = 4096
BURST: Final = 131_072
DURATION_S: Final = 200
RESTART_S: Final = 60
STORY: Final = f"""
story = "Two tenants in one region, whose disk is slow and which is restarted once."
duration_s = {DURATION_S}
drain_s = 6000
check_s = 30
[fleet]
tenants = 2
stores = 2
devices = 2
max_bytes = 33554432
[[aggregator.limit]]
per = "tenant"
bytes_per_s = {RATE}
burst_bytes = {BURST}
[[load]]
on = "store-1-2"
every_s = 0.3
events = 2
[[load]]
on = "store-1-1"
every_s = EVERY_S
events = 8
steady = true
padding_bytes = 5120
[[fault]]
kind = "machine.slow"
on = "eu-1"
for_s = {DURATION_S}
slow_s = 0.1
[[fault]]
kind = "machine.stop"
on = "eu-1"
at_s = {RESTART_S}
down_s = 2
[[expect]]
lane = "normal"
on = "store-1-2"
from_s = {RESTART_S + 20}
within_s = 5
"""
MANY: Final = STORY.replace("EVERY_S", "0.5")  # 2 devices: some 41 kB/s of what does not compress
FEW: Final = STORY.replace("EVERY_S", "10")  # half the rate


@dataclass
class Seen:
    """What became of a world.

    Attributes:
        admitted: committed bytes of the busy tenant, by the region's own counts, each second.
        p99_s: of the other one's delays, after the restart.
        counted: the region's counts at the end, by tenant.
        committed: the same by the journal's frames.
    """

    admitted: list[tuple[float, int]]
    p99_s: float
    counted: dict[str, Usage]
    committed: dict[str, Usage]


def run(text: str, folder: Path) -> Seen:
    admitted: list[tuple[float, int]] = []

    async def watch(region: RegionMachine) -> None:
        while True:
            await asyncio.sleep(1)
            if region.aggregator is not None:
                _, rows = await region.aggregator.services().usage(None)
                used = sum(row.usage.size_bytes for row in rows if row.scope == ("acme",))
                admitted.append((asyncio.get_running_loop().time(), used))

    async def main() -> World:
        world = World(parse("tenants", text), 1, folder)
        task = asyncio.get_running_loop().create_task(watch(world.regions[0]))
        await world.run()
        task.cancel()
        return world

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        world = runner.run(main())
    assert world.audit.violations == []
    [region], [delays] = world.regions, world.audit.delays.found
    month = month_of(region.clock.wall_ns())
    rows = read_usage(usage_path(region.journal_path), month)
    counted = {row.scope[0]: row.usage for row in rows if len(row.scope) == 1}
    p99_s = quantiles(delays, n=100)[98]
    return Seen(admitted, p99_s, counted, committed_in(region.journal_path))


def committed_in(journal: Path) -> dict[str, Usage]:
    usage: dict[str, Usage] = {}
    witness = Witness(journal)
    for kept in witness.new_frames():
        assert kept.frame is not None
        tenant = kept.where.partition("/")[0]
        one = Usage(1, kept.frame.header.count, len(kept.data))
        usage[tenant] = usage.get(tenant, Usage()) + one
    witness.close()
    return usage


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return run(MANY, tmp_path_factory.mktemp("many"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_admitted_at_its_rate(many: Seen) -> None:
    ends = max(used for _, used in many.admitted)
    assert ends > 9 * RATE * DURATION_S  # all of it, in the end
    # what comes, comes in lumps of a credit each: the line through them is the rate
    steady = [
        (at_s, used)
        for at_s, used in many.admitted
        if at_s > RESTART_S + 60 and used < ends - 2 * BURST
    ]
    times_s, used_bytes = zip(*steady, strict=True)
    assert times_s[-1] - times_s[0] > 600
    assert linear_regression(times_s, used_bytes).slope == pytest.approx(RATE, rel=0.05)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_other_tenant_hardly_notices(many: Seen, tmp_path: Path) -> None:
    few = run(FEW, tmp_path)
    assert many.p99_s == pytest.approx(few.p99_s, rel=0.10)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_counts_survive_a_restart(many: Seen) -> None:
    assert set(many.counted) == {"acme", "acme-2"}
    assert many.counted == many.committed
