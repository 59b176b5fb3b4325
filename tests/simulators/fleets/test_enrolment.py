"""A real aggregator learns of a fleet, over its files and over its API, and forgets it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from servers.waiting import wait_until
from whimbrel_sim.fleet import Region
from whimbrel_sim.fleets.enrolment import (
    ByApi,
    ByConfig,
    EnrolmentError,
    enrol,
    remove,
    write_scripts,
)
from whimbrel_sim.fleets.roster import Member, Roster, equip
from whimbrel_sim.program import run_command

TIMEOUT_S = 60.0


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    region = Region(tmp_path / "region", ["mqtt://127.0.0.1:9"])
    yield region
    region.program.kill()


def roster_of(region: Region) -> Roster:
    facts = ByConfig(region.config_file).facts()
    return Roster(
        run="0badcafe", tenant="sim", region=facts.name, region_key=facts.key,
        brokers=("mqtt://127.0.0.1:9",), stores=2, devices=2,
    )  # fmt: skip


def keys_of(folder: Path, roster: Roster) -> dict[Member, str]:
    return {member: equip(folder, roster, member, http_port=None) for member in roster.members}


def enrolled(region: Region) -> set[tuple[str, str]]:
    listed = run_command(
        region.module, "devices", "list", "--json", "--config", str(region.config_file),
        folder=region.folder,
    )  # fmt: skip
    return {(one["store"], one["device"]) for one in json.loads(listed)["devices"]}


async def test_over_the_files_of_an_aggregator_that_does_not_run(
    region: Region, tmp_path: Path
) -> None:
    roster = roster_of(region)
    assert roster.region_key == region.public_key
    way = ByConfig(region.config_file)
    keys = keys_of(tmp_path / "fleet", roster)
    for _ in range(2):  # again is harmless
        await enrol(way, roster, keys)
        assert enrolled(region) == {(member.store, member.device) for member in roster.members}
    assert await remove(way, roster) == 4
    assert enrolled(region) == set()


async def test_over_the_api_of_one_that_runs(region: Region, tmp_path: Path) -> None:
    roster = roster_of(region)
    way = ByApi(f"http://127.0.0.1:{region.port}")
    with pytest.raises(EnrolmentError, match="does not answer"):
        await way.region_name()
    region.program.start()
    wait_until(lambda: has_api(region), timeout_s=TIMEOUT_S, what="the API")
    assert await way.region_name() == roster.region
    await enrol(way, roster, keys_of(tmp_path / "fleet", roster))
    assert len(enrolled(region)) == 4
    with pytest.raises(EnrolmentError, match="409"):  # the names are taken by other keys
        await enrol(way, roster, keys_of(tmp_path / "other", roster))
    assert await remove(way, roster) == 4


def has_api(region: Region) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{region.port}/v1/status", timeout=5):
            return True
    except OSError:
        return False  # not there yet


def test_the_scripts_hold_the_commands_for_whoever_runs_the_aggregator(
    region: Region, tmp_path: Path
) -> None:
    roster = replace(roster_of(region), stores=1, devices=2)
    folder = tmp_path / "fleet"
    scripts = write_scripts(folder, roster, keys_of(folder, roster))
    for script, expected in zip(scripts, (2, 0), strict=True):
        done = subprocess.run(
            ["sh", str(script), "--config", str(region.config_file)],
            capture_output=True, check=False, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(enrolled(region)) == expected
