"""A tenant over its rate in small: it spools, and the counters stand; no figure of the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from whimbrel_sim.sabotage import FLOW_SABOTAGES, Sabotage
from whimbrel_sim.trials.lines import PartReport
from whimbrel_sim.trials.quota import QuotaPlan, run_quota

SMALL = QuotaPlan(calm_s=3, loud_s=6)


async def tried(
    folder: Path, plan: QuotaPlan = SMALL, sabotage: Sabotage | None = None
) -> PartReport:
    broker = MosquittoServer(folder / "broker")
    return await run_quota(plan, broker, folder, seed=1, sabotage=sabotage, say=print)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_loud_tenant_spools_and_counters_survive(tmp_path: Path) -> None:
    report = await tried(tmp_path)
    wrong = {line.name: line.said for line in report.lines if not (line.timed or line.passed)}
    assert not wrong
    assert report.figures["spooled_events"] > 0


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_counters_that_are_not_stored_are_found_out(tmp_path: Path) -> None:
    report = await tried(
        tmp_path,
        QuotaPlan(calm_s=1, loud_s=1, stored_s=0),  # the stop before the kill shows it
        FLOW_SABOTAGES["usage-not-stored"],
    )
    assert "the counters survive a restart" in report.failing
