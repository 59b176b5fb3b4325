"""``whimbrel-sim fleet`` from its own command line, with real agents, broker and aggregator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from servers.waiting import wait_until
from whimbrel_sim.cli import main
from whimbrel_sim.fleets.cleaning import stop_leftovers
from whimbrel_sim.fleets.crew import MAX_DEATHS, revive
from whimbrel_sim.fleets.localregion import find_mosquitto
from whimbrel_sim.program import Program, ProgramError

TIMEOUT_S = 60.0
COMMAND = [sys.executable, "-m", "whimbrel_sim.cli", "fleet"]
SMALL = ["--local", "--stores", "2", "--devices", "2", "--rate", "40", "--burst", "4"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: run scripts/setup-servers")
    folder = tmp_path / "f"
    yield folder
    stop_leftovers(folder)


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    words = [*COMMAND, *SMALL, "--folder", str(folder), *more]
    log = (folder.parent / "log").open("wb")
    with log:
        return subprocess.Popen(words, stdout=log, stderr=log, cwd=folder.parent)


def figures(folder: Path) -> dict[str, Any]:
    file = folder / "hosts" / "part-0.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def has_delivered(folder: Path, events: int) -> bool:
    return int(figures(folder).get("delivered", 0)) >= events


def reconcile(folder: Path, *more: str) -> int:
    config = folder / "region" / "region" / "aggregator.toml"
    return main(["reconcile", str(folder), "--aggregator-config", str(config), *more])


@pytest.mark.slow
def test_light_agents_send_until_interrupted_then_drain_agree_and_are_cleaned_up(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = ["--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")]
    fleet = start(folder, "--light", *reports)
    try:
        wait_until(lambda: has_delivered(folder, 40), timeout_s=TIMEOUT_S, what="some receipts")
        fleet.send_signal(signal.SIGINT)
        assert fleet.wait(TIMEOUT_S) == 0, (tmp_path / "log").read_text()
    finally:
        fleet.kill()
        fleet.wait()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["agrees"]
    assert report["most_up"] == report["agents"] == 4
    assert set(report["reckoning"]["holders"]) == {"journal", "files"}
    assert report["figures"]["delivered"] == report["figures"]["accepted"] >= 40
    assert ET.parse(tmp_path / "r.xml").getroot().attrib["failures"] == "0"

    # The ledger stays: it can be compared again, and what is tampered with is found.
    assert reconcile(folder) == 0
    archive = folder / "region" / "region" / "archive"
    (lines,) = archive.glob("*.ndjson")
    kept = lines.read_text().splitlines(keepends=True)
    lines.write_text("".join(kept[1:]))
    capsys.readouterr()
    assert reconcile(folder) == 1
    assert "1 missing" in capsys.readouterr().out

    assert main(["fleet", "clean", "--folder", str(folder)]) == 0
    assert not folder.exists()


@pytest.mark.slow
def test_a_killed_fleet_leaves_a_ledger_and_goes_on_where_it_was(
    folder: Path, tmp_path: Path
) -> None:
    fleet = start(folder, "--light")
    wait_until(lambda: has_delivered(folder, 20), timeout_s=TIMEOUT_S, what="some receipts")
    host = int(figures(folder)["pid"])
    fleet.kill()
    fleet.wait()
    wait_until(lambda: not is_alive(host), timeout_s=TIMEOUT_S, what="the end of the orphans")
    # Everything is there or still in buffers: nothing is there twice, nobody is a stranger.
    assert reconcile(folder) in (0, 1)
    stop_leftovers(folder)

    again = start(folder, "--light", "--duration", "2")
    assert again.wait(TIMEOUT_S) == 0, (tmp_path / "log").read_text()
    assert reconcile(folder, "--json") == 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_agents_in_processes_of_their_own_agree_too(folder: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "day.toml"
    scenario.write_text('[[fault]]\nkind = "link.reset"\nat_s = 3\nevery_s = 2\n')
    more = ["--processes", "--duration", "5", "--scenario", str(scenario)]
    fleet = start(folder, *more, "--json", str(tmp_path / "r.json"))
    assert fleet.wait(TIMEOUT_S) == 0, (tmp_path / "log").read_text()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["most_up"] == 4
    assert report["figures"]["delivered"] > 0
    assert report["figures"]["links_lost"] > 0
    assert (folder / "agents" / "sim-1" / "dev-1" / "agent.log").exists()
    assert "devices add sim sim-1 dev-1 --key" in (folder / "enrol.sh").read_text()


def test_a_fleet_that_knows_no_broker_or_no_region_says_what_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(tmp_path / "f")]
    assert main(["fleet", *folder]) == 2
    assert "add --broker" in capsys.readouterr().err
    assert main(["fleet", "--broker", "mqtt://127.0.0.1:1883", *folder]) == 2
    assert "--region-key" in capsys.readouterr().err
    broker = ["--broker", "mqtt://127.0.0.1:1883"]
    assert main(["fleet", *broker, "--workload", "ordinary", "--rate", "200", *folder]) == 2
    assert "the rate must be 0.001 to 100" in capsys.readouterr().err
    assert main(["fleet", "clean", *folder]) == 2
    assert "holds no fleet" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fleet", "proxy", "reconcile"])
def test_each_command_has_a_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"whimbrel-sim {command}" in capsys.readouterr().out


def test_processes_that_end_again_and_again_end_the_run(tmp_path: Path) -> None:
    program = Program("broken", "no_such_module", [], tmp_path)
    deaths: list[str] = []
    program.start()
    with pytest.raises(ProgramError, match=f"{MAX_DEATHS} times, the last one: broken ended"):
        while True:
            wait_until(lambda: not program.running, timeout_s=TIMEOUT_S, what="its end")
            revive([program], deaths)
    assert "no_such_module" in deaths[0]
