"""What befalls cards whose every operation is recorded, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from whimbrel_sim.worlds.faults import KINDS

SCENARIO = Path(__file__).with_name("recorded.toml")


def outcome(seed: int) -> tuple[int, Any]:
    command = [sys.executable, "-m", "whimbrel_sim.cli", "world", str(SCENARIO)]
    done = subprocess.run(
        [*command, "--seed", str(seed), "--json"], capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_world_holds_through_every_trouble_that_a_card_can_have(seed: int) -> None:
    status, told = outcome(seed)
    assert (status, told["breaches"], told["error"]) == (0, [], "")
    assert {name for name, kind in KINDS.items() if kind.recorded} <= set(told["faults"])
    assert told["faults"]["card.lies"] == 2  # the two devices


def test_the_same_seed_gives_the_same_trace_in_another_process() -> None:
    assert outcome(4)[1]["digest"] == outcome(4)[1]["digest"]
