import json
import subprocess
import sys
from pathlib import Path

import pytest

from whimbrel_sim.workloads.cli import main
from whimbrel_sim.workloads.figures import MIX, measure_kinds
from whimbrel_sim.workloads.hours import ORDINARY
from whimbrel_sim.workloads.kinds import KINDS


def test_every_kind_and_the_mix_are_measured_and_none_is_under_the_least() -> None:
    figures = list(measure_kinds(2, 3_000, ORDINARY, 1.0))
    assert [one.kind for one in figures] == [*KINDS, MIX]
    for one in figures:
        assert one.entropy_bytes < one.xz_columns_bytes < one.xz_json_bytes
        assert one.frame_ratio > 1
    # frames are near enough to be worth the comparison
    assert max(one.frame_ratio for one in figures) < 7


def test_the_table_and_the_document_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    arguments = ["--events", "500", "--day", "black-friday", "--rate", "2", "--json", str(path)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    document = json.loads(path.read_text())
    assert document["events"] == 500
    for one in document["kinds"]:
        assert one["kind"] in shown
        assert f"{one['entropy_bytes']:.2f}" in shown
        assert f"{one['frame_ratio']:.2f}" in shown


def test_less_than_a_frame_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--events", "100"])
    assert "--events" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "whimbrel_sim.workloads", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--json" in done.stdout
