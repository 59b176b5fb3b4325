from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.worlds.explicit import as_toml, made_explicit
from whimbrel_sim.worlds.running import run_world
from whimbrel_sim.worlds.scenario import Scenario, load_scenario, names, parse

MOVING = str(Path(__file__).parent / "scenarios" / "moving-store.toml")


@pytest.mark.parametrize("scenario", [*names(), MOVING])
def test_a_scenarios_text_says_all_of_it(scenario: str) -> None:
    given = load_scenario(scenario)
    assert parse(given.name, as_toml(given)) == given


@pytest.mark.parametrize("scenario", [*names(), MOVING])
def test_what_a_seed_drew_draws_nothing_more(scenario: str) -> None:
    explicit = made_explicit(load_scenario(scenario), 4)
    assert made_explicit(explicit, 5) == explicit
    assert parse(explicit.name, as_toml(explicit)) == explicit


@pytest.mark.parametrize(("scenario", "seed"), [("smoke", 3), (MOVING, 2)])
def test_an_explicit_scenario_is_the_same_world(scenario: str, seed: int) -> None:
    given = load_scenario(scenario)
    written = parse(given.name, as_toml(made_explicit(given, seed)))
    assert run_world(written, seed).digest == run_world(given, seed).digest


def test_notes_stand_at_the_head() -> None:
    text = as_toml(Scenario(name="x", story='says "no"\\', duration_s=1.5), "one\n\ntwo")
    assert text.startswith("# one\n#\n# two\nstory = ")
    assert parse("x", text).story == 'says "no"\\'
