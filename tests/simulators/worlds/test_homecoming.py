"""A fleet comes back in one moment; ``python -m whimbrel_sim.worlds.homecoming`` takes any size."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_agent.uplink import session
from whimbrel_sim.patching import applied, put
from whimbrel_sim.worlds import homecoming
from whimbrel_sim.worlds.filetables import FileTable, tables_for
from whimbrel_sim.worlds.homecoming import (
    Homecoming,
    come_home,
    most_in_a_second,
    story_of,
    together,
)

KEPT = Homecoming(
    devices=100,
    started=100,
    most_in_a_second=5,
    last_start_s=40.0,
    drained_s=41.0,
    predicted_s=40.0,
    broken=(),
    cpu_s=1.0,
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("devices", "seed"), [(500, 1), (200, 2), (200, 3)])
def test_it_starts_at_the_set_rate_and_has_drained_when_the_region_said(
    devices: int, seed: int
) -> None:
    found = come_home(devices, seed)
    assert found.faults() == [], str(found)
    assert found.devices == found.started == devices
    assert found.most_in_a_second <= 0.05 * devices
    # the rate is not slower than what is set: 2.5 % of the fleet a second
    assert 30 < found.last_start_s < 50


@pytest.mark.slow
def test_files_in_tables_of_their_own_change_nothing() -> None:
    here, spread = come_home(60, 4, tables=0), come_home(60, 4, tables=2)
    assert replace(spread, cpu_s=here.cpu_s) == here
    assert spread.faults() == []


def test_tables_of_open_files_are_made_where_one_is_not_enough() -> None:
    assert [tables_for(devices, 20_000) for devices in (1, 2_714, 2_715, 10_000)] == [0, 0, 2, 4]
    assert tables_for(10_000, 1_000_000) == 0


def test_a_table_has_open_files_of_its_own(tmp_path: Path) -> None:
    table = FileTable(0)
    path = tmp_path / "held"
    path.touch()
    handle = table.do(lambda: os.open(path, os.O_RDONLY))
    here = {one.readlink() for one in Path("/proc/self/fd").iterdir() if one.exists()}
    assert path not in here
    assert table.do(lambda: os.fstat(handle)).st_ino == path.stat().st_ino
    with pytest.raises(FileNotFoundError):  # what the work raises, the caller gets
        table.do(lambda: os.open(tmp_path / "missing", os.O_RDONLY))
    table.close()


@pytest.mark.slow
def test_devices_that_do_not_ask_before_they_send_are_found() -> None:
    with applied(lambda: put(session, "AWAY_S", 1e6)):
        found = come_home(100, 1)
    assert any("started in one second" in fault for fault in found.faults())


def test_what_is_not_as_it_must_be_is_named() -> None:
    assert KEPT.faults() == []
    faults = replace(
        KEPT, started=99, most_in_a_second=6, drained_s=50.0, broken=("kept",)
    ).faults()
    assert [fault.split()[0] for fault in faults] == ["kept", "99", "6", "drained"]


def test_the_fullest_second_may_begin_anywhere() -> None:
    assert most_in_a_second([]) == 0
    assert most_in_a_second([0.9, 1.0, 1.8, 2.5, 1.89]) == 4
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1


def test_regions_come_back_together() -> None:
    one = replace(KEPT, starts_s=tuple(n / 4 for n in range(100)), most_in_a_second=4)
    other = replace(one, starts_s=tuple(10 + n / 4 for n in range(100)), drained_s=43.0)
    both = together([one, other])
    assert (both.devices, both.started, both.most_in_a_second) == (200, 200, 8)
    assert (both.drained_s, both.cpu_s, both.broken) == (43.0, 2.0, ())
    assert both.faults() == []
    assert together([one, replace(other, broken=("kept",))]).broken == ("kept",)


def test_fleets_are_made_of_stores() -> None:
    fleet = story_of(10_000).fleet
    assert (fleet.stores, fleet.devices) == (200, 50)


def test_the_command_prints_and_says_by_its_status_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = replace(KEPT, starts_s=tuple(n / 4 for n in range(100)))
    for found, status in ((whole, 0), (replace(whole, started=1), 1)):
        monkeypatch.setattr(homecoming, "come_home", lambda *_, found=found: found)
        assert homecoming.main(["--devices", "100"]) == status
    said = capsys.readouterr()
    assert said.out.startswith("100 devices: at most 5 started in one second (5.0%)")
    monkeypatch.setattr(homecoming, "come_home", lambda *_: whole)
    assert homecoming.main(["--devices", "100", "--regions", "3"]) == 0
    assert "together: 300 devices: at most 12 started" in capsys.readouterr().out
    assert said.err.startswith("missed: 1 of 100 devices")
