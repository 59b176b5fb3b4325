from __future__ import annotations

import pytest

from whimbrel_sim.worlds.outcome import totals
from whimbrel_sim.worlds.running import run_many

SEEDS = range(1, 41)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_promise_holds_in_forty_bad_days() -> None:
    outcomes = list(run_many("smoke", SEEDS, jobs=2))
    assert [(one.replay, one.breaches, one.traceback) for one in outcomes if one.failed] == []
    added = totals(outcomes)
    assert added.worlds == len(SEEDS)
    assert added.counts["committed"] > 10_000
    assert added.counts["kills"] > 100
    assert len(added.faults) > 15
