"""The harness finds each fault that is planted in the product on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.mosquitto import MosquittoServer
from whimbrel_sim.sabotage import SABOTAGES
from whimbrel_sim.soak import Plan, soak

KILLS = {"free-on-puback": 8, "staging-without-commit": 8}
"""Random kills within which a fault must be found; the others show in what follows them."""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", list(SABOTAGES))
async def test_a_planted_fault_is_found(tmp_path: Path, name: str) -> None:
    plan = Plan(
        kills=KILLS.get(name, 2),
        seed=7,
        broker="mosquitto",
        sabotage=SABOTAGES[name],
        drain_timeout_s=15,
    )
    report = await soak(plan, MosquittoServer(tmp_path / "broker"), tmp_path, print)
    assert not report.agrees, f"{SABOTAGES[name].breaks}: broken, and not found"
