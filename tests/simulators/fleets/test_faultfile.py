from __future__ import annotations

import math
from pathlib import Path

import pytest

from whimbrel_sim.fleets.faultfile import (
    KINDS,
    MAX_FILE_BYTES,
    Packets,
    ScenarioError,
    needs_mqtt,
    next_change_s,
    parse_scenario,
    play_at,
    read_scenario,
)
from whimbrel_sim.fleets.links import CLEAR, GOOD_LINK, Door, Way
from whimbrel_sim.fleets.trial import ROUGH


def test_a_fault_begins_and_ends_at_its_times() -> None:
    scenario = parse_scenario('[[fault]]\nat_s = 10\nfor_s = 5\nkind = "link.cut"\n')
    assert play_at(scenario, 9.9).link == GOOD_LINK
    assert play_at(scenario, 10).link.door is Door.CUT
    assert play_at(scenario, 15).link == GOOD_LINK
    assert next_change_s(scenario, 0) == 10
    assert next_change_s(scenario, 10) == 15
    assert math.isinf(next_change_s(scenario, 15))


def test_a_fault_without_an_end_lasts() -> None:
    scenario = parse_scenario('[[fault]]\nat_s = 1\nkind = "link.delay"\ndelay_s = 0.2\n')
    assert play_at(scenario, 1e9).link.up == Way(delay_s=0.2)
    assert math.isinf(next_change_s(scenario, 1))


def test_a_fault_comes_again_and_again() -> None:
    scenario = parse_scenario(
        '[[fault]]\nat_s = 2\nfor_s = 1\nevery_s = 10\nkind = "link.refuse"\n'
    )
    now_s, changes = 0.0, []
    for _ in range(4):
        now_s = next_change_s(scenario, now_s)
        changes.append((now_s, play_at(scenario, now_s).link.door is Door.REFUSED))
    assert changes == [(2, True), (3, False), (12, True), (13, False)]


def test_one_direction_leaves_the_other_alone() -> None:
    (fault,) = parse_scenario('[[fault]]\nkind = "link.flip"\nrate = 0.25\ndirection = "down"\n')
    assert fault.play.link.down == Way(flip=0.25)
    assert fault.play.link.up == CLEAR


def test_faults_on_publications_need_mqtt() -> None:
    scenario = parse_scenario('[[fault]]\nkind = "link.duplicate"\nchance = 0.5\n')
    assert needs_mqtt(scenario)
    assert play_at(scenario, 0).up == Packets(duplicate=0.5)
    assert not needs_mqtt(parse_scenario('[[fault]]\nkind = "link.cut"\n'))


def test_bandwidth_may_be_told_in_kilobits() -> None:
    (fault,) = parse_scenario('[[fault]]\nkind = "link.bandwidth"\nkbit_per_s = 64\n')
    assert fault.play.link.up.bytes_per_s == 8000


def test_what_else_a_scenario_holds_is_left_alone() -> None:
    text = 'name = "x"\n[world]\nstores = 3\n[[fault]]\nkind = "link.cut"\nstores = ["a"]\n'
    assert len(parse_scenario(text)) == 1


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario('[[fault]]\nkind = "link.cut"\n[[fault]]\nkind = "power.cut"\n', "day.toml")
    assert "day.toml: fault 2: kind is 'power.cut'" in str(caught.value)
    assert all(kind in str(caught.value) for kind in KINDS)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('kind = "link.flip"', "chance is missing"),
        ('kind = "link.loss"\nchance = 2', "chance is 2, must be a number from 0 to 1"),
        ('kind = "link.flip"\nchance = "often"', "chance is 'often'"),
        ('kind = "link.cut"\nat_s = -1', "at_s is -1"),
        ('kind = "link.cut"\nevery_s = 0', "every_s is 0"),
        ('kind = "link.cut"\nat_s = [1, 2, 3]', "a range [LOW, HIGH]"),
        ('kind = "link.flip"\nchance = 1\ndirection = "left"', "must be up, down or both"),
        ("kind = 7", "kind is 7"),
        ("kind = [", "is not TOML"),
    ],
)
def test_a_wrong_fault_says_what_is_wrong(line: str, problem: str) -> None:
    with pytest.raises(ScenarioError, match=r"scenario: ") as caught:
        parse_scenario(f"[[fault]]\n{line}\n")
    assert problem in str(caught.value)


def test_a_file_that_cannot_be_a_scenario_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.toml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ScenarioError, match="is larger than"):
        read_scenario(file)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_scenario(tmp_path / "none.toml")


def test_the_rough_link_can_be_played() -> None:
    kinds = {fault.kind for fault in read_scenario(ROUGH)}
    assert len(kinds) > 8


def test_numbers_are_drawn_from_ranges_and_a_seed_draws_the_same() -> None:
    text = '[[fault]]\nkind = "link.loss"\nloss = [0.01, 0.5]\nat_s = [5, 590]\ntimes = [3, 3]\n'
    faults = parse_scenario(text, seed=7)
    assert faults == parse_scenario(text, seed=7) != parse_scenario(text, seed=8)
    assert len({fault.at_s for fault in faults}) == 3
    assert all(
        5 <= fault.at_s <= 590 and 0.01 <= fault.play.link.up.loss <= 0.5 for fault in faults
    )


def test_a_link_that_flaps_is_cut_and_good_in_turn() -> None:
    text = '[[fault]]\nkind = "link.flap"\nat_s = 10\nfor_s = 60\non_s = 20\noff_s = 10\n'
    faults = parse_scenario(text)
    doors = [play_at(faults, second).link.door is Door.CUT for second in (29, 31, 41, 61, 71, 91)]
    assert doors == [False, True, False, True, False, False]
    forever = parse_scenario('[[fault]]\nkind = "link.flap"\n')
    assert play_at(forever, 25 + 40 * 1000).link.door is Door.CUT


def test_a_reset_lasts_a_moment() -> None:
    faults = parse_scenario('[[fault]]\nkind = "link.reset"\nat_s = 3\n')
    assert play_at(faults, 3).link.door is Door.CUT
    assert play_at(faults, 3.1).link == GOOD_LINK


def test_a_worlds_scenario_is_played_as_far_as_it_is_about_links() -> None:
    smoke = ROUGH.parents[2] / "scenarios" / "smoke.toml"
    with pytest.raises(ScenarioError, match=r"machine\.kill"):
        read_scenario(smoke)
    kinds = {fault.kind for fault in read_scenario(smoke, links_only=True, seed=3)}
    assert "link.loss" in kinds or "link.cut" in kinds
    assert all(kind.startswith("link.") for kind in kinds)
