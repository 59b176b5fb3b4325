from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_agent.configfile import load_config
from whimbrel_sim.fleets.host import members_of
from whimbrel_sim.fleets.roster import (
    MAX_MEMBERS,
    Member,
    Roster,
    RosterError,
    config_file,
    equip,
    load_roster,
)

ROSTER = Roster(
    run="0badcafe",
    tenant="sim",
    region="eu-1",
    region_key="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    brokers=("mqtt://127.0.0.1:1883",),
    stores=12,
    devices=3,
)


def test_a_saved_fleet_is_the_same_when_loaded(tmp_path: Path) -> None:
    ROSTER.save(tmp_path)
    assert load_roster(tmp_path) == ROSTER


def test_names_sort_as_their_numbers() -> None:
    stores = sorted({member.store for member in ROSTER.members})
    assert (stores[0], stores[-1], len(stores)) == ("sim-01", "sim-12", 12)


def test_only_its_own_stores_and_events_are_a_fleets_business() -> None:
    assert "sim-01" in ROSTER.store_names
    assert "sim-13" not in ROSTER.store_names
    assert ROSTER.owns(f"{ROSTER.sender(Member('sim-01', 'dev-1'))}-1")
    assert not ROSTER.owns("ffffffff/sim-01/dev-1-1")


def test_parts_share_all_members_and_split_no_store() -> None:
    parts = [members_of(ROSTER, part, 5) for part in range(5)]
    assert sorted(str(one) for part in parts for one in part) == sorted(map(str, ROSTER.members))
    stores = [{member.store for member in part} for part in parts]
    assert sum(map(len, stores)) == 12


def test_an_equipped_member_has_a_configuration_that_the_agent_takes(tmp_path: Path) -> None:
    member = ROSTER.members[0]
    public = equip(tmp_path, ROSTER, member, http_port=18_440)
    config = load_config(config_file(tmp_path, member))
    assert config.device.address == ROSTER.address(member)
    assert config.http is not None
    assert equip(tmp_path, ROSTER, member, http_port=None) == public  # the key is kept
    assert load_config(config_file(tmp_path, member)).http is None


def test_too_many_and_odd_names_are_refused() -> None:
    with pytest.raises(RosterError, match=f"1 to {MAX_MEMBERS}"):
        replace(ROSTER, devices=MAX_MEMBERS)
    with pytest.raises(RosterError, match="choose other prefixes"):
        replace(ROSTER, store_prefix="No Such-")


def test_a_folder_without_a_fleet_says_so(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match="holds no fleet"):
        load_roster(tmp_path)


def test_a_folder_is_not_taken_over_by_another_fleet() -> None:
    replace(ROSTER, brokers=("mqtt://127.0.0.1:1884",), seed=2).check_same(ROSTER)
    with pytest.raises(RosterError, match="whose devices is 3, not 4"):
        replace(ROSTER, devices=4).check_same(ROSTER)
