from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim import patching, sabotage_agent, sabotage_aggregator
from whimbrel_sim.program import run_command
from whimbrel_sim.sabotage import CONDITIONS, SABOTAGES, Sabotage

AGENT = "whimbrel_agent"


@pytest.mark.parametrize("name", [*SABOTAGES, *CONDITIONS])
def test_a_fault_finds_its_place_in_the_shipped_code(name: str, tmp_path: Path) -> None:
    module = SABOTAGES[name].module if name in SABOTAGES else AGENT
    printed = run_command("whimbrel_sim.sabotaged", module, name, "--help", folder=tmp_path)
    assert "usage:" in printed


def test_a_place_that_has_moved_is_an_error() -> None:
    with pytest.raises(AttributeError):
        patching.put(Path, "no_such_place", None)


@pytest.mark.parametrize("fault", SABOTAGES.values(), ids=list(SABOTAGES))
def test_a_fault_stands_in_the_module_of_its_program(fault: Sabotage) -> None:
    home = sabotage_agent if fault.module == AGENT else sabotage_aggregator
    assert fault.apply is vars(home)[fault.apply.__name__]
