from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim import patching, sabotage_agent, sabotage_aggregator, sabotage_flow
from whimbrel_sim.program import run_command
from whimbrel_sim.sabotage import CONDITIONS, FLOW_SABOTAGES, SABOTAGES, Sabotage
from whimbrel_sim.trials.planted import PARTS, PLANTED

AGENT = "whimbrel_agent"


FAULTS = SABOTAGES | FLOW_SABOTAGES


@pytest.mark.parametrize("name", [*FAULTS, *CONDITIONS])
def test_a_fault_finds_its_place_in_the_shipped_code(name: str, tmp_path: Path) -> None:
    module = FAULTS[name].module if name in FAULTS else AGENT
    printed = run_command("whimbrel_sim.sabotaged", module, name, "--help", folder=tmp_path)
    assert "usage:" in printed


def test_a_place_that_has_moved_is_an_error() -> None:
    with pytest.raises(AttributeError):
        patching.put(Path, "no_such_place", None)


@pytest.mark.parametrize("fault", SABOTAGES.values(), ids=list(SABOTAGES))
def test_a_fault_stands_in_the_module_of_its_program(fault: Sabotage) -> None:
    home = sabotage_agent if fault.module == AGENT else sabotage_aggregator
    assert fault.apply is vars(home)[fault.apply.__name__]


def test_each_fault_of_flow_has_a_part_and_a_line_that_find_it() -> None:
    assert set(PLANTED) == set(FLOW_SABOTAGES)
    assert {part for part, _ in PLANTED.values()} == set(PARTS)
    assert all(
        fault.apply.__module__ == sabotage_flow.__name__ for fault in FLOW_SABOTAGES.values()
    )
