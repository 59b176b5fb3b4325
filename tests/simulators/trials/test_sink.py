"""A throttled and a hanging PostgreSQL in small: facts and counts, no figure of the clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from servers.postgres import PostgresServer
from whimbrel_sim.sabotage import FLOW_SABOTAGES, Sabotage
from whimbrel_sim.trials.lines import PartReport
from whimbrel_sim.trials.sink import address_of, run_sink
from whimbrel_sim.trials.sinkplan import SinkPlan

SMALL = SinkPlan(free_s=4, spool_s=4, max_backlog_bytes=60_000, hang_s=1, rounds=1, round_s=2)
HANGS = replace(SMALL, throttles=False, breaker_s=3)


async def tried(
    plan: SinkPlan, postgres: PostgresServer, folder: Path, sabotage: Sabotage | None = None
) -> PartReport:
    broker = MosquittoServer(folder / "broker")
    return await run_sink(plan, broker, postgres, folder, seed=1, sabotage=sabotage, say=print)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_slow_sink_makes_devices_spool_and_loses_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    report = await tried(SMALL, postgres, tmp_path)
    # which lane's middle event is first in so small a backlog is up to chance
    wrong = {
        line.name: line.said
        for line in report.lines
        if not (line.timed or line.passed or line.name == "the backlog drains by lane")
    }
    assert not wrong
    assert len([line for line in report.lines if not line.timed]) >= 7


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_breaker_that_never_opens_is_found_out(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    report = await tried(HANGS, postgres, tmp_path, FLOW_SABOTAGES["breaker-stays-closed"])
    assert "the breaker of a hanging sink opens" in report.failing


def test_where_a_database_listens_is_in_its_dsn() -> None:
    assert address_of("postgresql://postgres@127.0.0.1:5433/postgres") == ("127.0.0.1", 5433)
