"""Scenario files: what they may say, and what they are told when they say something else."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from whimbrel_sim.worlds.faults import KINDS
from whimbrel_sim.worlds.scenario import (
    FaultLine,
    Fleet,
    Lines,
    Scenario,
    ScenarioError,
    draw,
    load_scenario,
    names,
    parse,
)

HEAD = 'story = "A test."\nduration_s = 60\n'


def error_of(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse("mine", text)
    return str(caught.value)


def test_what_is_not_said_has_defaults() -> None:
    assert parse("mine", HEAD) == Scenario(
        name="mine", story="A test.", duration_s=60, fleet=Fleet(), load=(Lines(),), faults=()
    )


def test_everything_said_is_taken() -> None:
    made = parse(
        "mine",
        HEAD
        + """
        drain_s = 7
        [fleet]
        regions = 2
        [[load]]
        lane = "critical"
        keyed = true
        [[load]]
        every_s = 1
        [[fault]]
        kind = "link.cut"
        on = "each"
        at_s = [1, 5]
        for_s = 3
        share = 0.5
        reset = 1
        """,
    )
    assert (made.drain_s, made.fleet) == (7, Fleet(regions=2))
    assert made.load == (Lines(lane="critical", keyed=True), Lines(every_s=1))
    assert made.faults == (
        FaultLine(
            kind="link.cut", on="each", at_s=(1.0, 5.0), for_s=3, share=0.5, more={"reset": 1}
        ),
    )


@pytest.mark.parametrize(
    ("more", "key", "known"),
    [
        ("speed = 3", "speed", "duration_s"),
        ("[fleet]\ntills = 3", "tills", "devices"),
        ("[[load]]\nrate = 3", "rate", "every_s"),
        ('[[fault]]\nkind = "link.cut"\nloss = 0.5', "loss", "reset"),
        ('[[fault]]\nkind = "link.gone"', "link.gone", "link.cut"),
    ],
)
def test_an_unknown_word_is_named_with_the_known_ones_and_the_file(
    more: str, key: str, known: str
) -> None:
    message = error_of(f"{HEAD}{more}")
    assert message.startswith("mine")
    assert repr(key) in message
    assert known in message.partition("known")[2]


def test_what_is_missing_is_named() -> None:
    assert "duration_s" in error_of('story = "x"')


def test_no_toml_is_an_error_of_the_scenario() -> None:
    assert error_of("story = ").startswith("scenario mine")


@pytest.mark.parametrize("value", ["[1]", "[1, 2, 3]", '["a", "b"]'])
def test_a_range_has_two_numbers(value: str) -> None:
    assert "[low, high]" in error_of(f'{HEAD}[[fault]]\nkind = "link.cut"\nat_s = {value}')


def test_a_name_that_no_scenario_has_is_told_the_names() -> None:
    with pytest.raises(ScenarioError, match="smoke"):
        load_scenario("no-such-story")


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.toml"):
        load_scenario(str(tmp_path / "gone.toml"))


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(HEAD)
    assert load_scenario(str(tmp_path / "mine.toml")).name == "mine"


def test_a_range_is_drawn_from_the_chance_given() -> None:
    drawn = [draw((2.0, 5.0), Random(seed)) for seed in range(50)]
    assert all(2.0 <= one <= 5.0 for one in drawn)
    assert len(set(drawn)) == 50
    assert drawn[7] == draw((2.0, 5.0), Random(7))


def test_a_plain_number_draws_nothing() -> None:
    random = Random(1)
    before = random.getstate()
    assert draw(3.0, random) == 3.0
    assert random.getstate() == before


@pytest.mark.parametrize("name", names())
def test_every_shipped_scenario_can_be_read_and_tells_its_story(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.story.strip()
    assert scenario.duration_s > 0
    assert {line.kind for line in scenario.faults} <= set(KINDS)
