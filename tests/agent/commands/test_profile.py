"""``whimbrel-agent profile``, from its arguments to its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from documents import ROOT
from whimbrel_agent import exits
from whimbrel_agent.cli import main
from whimbrel_agent.profiles.reading import read_profile


def board(root: Path, model: str) -> str:
    (root / "proc" / "device-tree").mkdir(parents=True)
    (root / "proc" / "device-tree" / "model").write_bytes(model.encode() + b"\0")
    return str(root)


def test_detect_says_which_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = board(tmp_path, "Raspberry Pi 4 Model B Rev 1.5")
    assert main(["profile", "detect", "--root", root]) == exits.DONE
    assert capsys.readouterr().out.startswith("pi-4 (detected: model 'Raspberry Pi 4 Model B")
    assert main(["profile", "detect", "--root", root, "--json"]) == exits.DONE
    assert json.loads(capsys.readouterr().out)["profile"] == "pi-4"


def test_show_gives_a_table_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "solar-box"]) == exits.DONE
    out = capsys.readouterr().out
    assert "capacity_wh" in out
    assert "shipped profiles: battery-sensor-hub-lte, generic" in out
    assert main(["profile", "show", "--json", "--root", str(tmp_path)]) == exits.DONE
    assert json.loads(capsys.readouterr().out)["name"] == "generic"


def test_an_unknown_profile_is_answered_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["profile", "show", "pi-9"]) == exits.USAGE
    assert "known: battery-sensor-hub-lte" in capsys.readouterr().err


def test_check_names_file_key_problem_and_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "firmware-profiles" / "pi-4.toml").read_text()
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert main(["profile", "check", str(file)]) == exits.DONE
    assert capsys.readouterr().out == f"{file}: sound, profile pi-4\n"
    assert main(["profile", "check", str(file), "--json"]) == exits.DONE
    assert json.loads(capsys.readouterr().out)["sound"] is True
    file.write_text(text.replace("tail_w", "tail_watts"))
    assert main(["profile", "check", str(file)]) == exits.USAGE
    assert capsys.readouterr().err.startswith(f"whimbrel-agent: {file}: [radio] tail_w is missing")
    file.write_text(text + "\n[radios]\n")
    assert main(["profile", "check", str(file)]) == exits.USAGE
    said = capsys.readouterr().err
    assert "radios is not a known table; did you mean radio? (known: schema, name" in said


def write_log(file: Path) -> None:
    lines = ["time_s,watts,cpu_s,radio_wakes"]
    cpu_s = 0.0
    for second in range(3000):
        share = 0.5 if second // 100 % 2 else 0.1
        cpu_s += share
        lines.append(f"{second},{2.0 + share * 0.7 + 0.01 * (second % 3)},{cpu_s},0")
    file.write_text("\n".join(lines) + "\n")


def test_calibrate_writes_a_profile_that_is_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "my-pi.toml"
    write_log(log)
    arguments = ["profile", "calibrate", str(log), "--base", "pi-4", "--out", str(out)]
    assert main(arguments) == exits.DONE
    said = capsys.readouterr()
    assert "idle_w" in said.out
    assert "wake_j                       -    not in the log, or never used" in said.out
    assert "residual" in said.out
    assert "[device] profile" in said.err
    made = read_profile(out)
    assert made.name == "my-pi"
    assert made.power.idle_w.value == pytest.approx(2.01, abs=0.005)
    assert made.power.cpu_j_per_core_s.value == pytest.approx(0.7, abs=0.01)
    assert main(arguments) == exits.REFUSED  # it is there already
    assert "exists" in capsys.readouterr().err


def test_calibrate_answers_in_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "my-pi.toml"
    write_log(log)
    arguments = ["profile", "calibrate", str(log), "--base", "pi-4", "--out", str(out), "--json"]
    assert main(arguments) == exits.DONE
    answer = json.loads(capsys.readouterr().out)
    assert {one["name"] for one in answer["constants"]} == {"idle_w", "cpu_j_per_core_s"}
    assert answer["base"] == "pi-4"


def test_a_name_that_is_no_profile_file_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["profile", "calibrate", str(tmp_path / "none.csv"), "--out", "x.txt"]
    assert main(arguments) == exits.USAGE
    assert "must end in .toml" in capsys.readouterr().err
    assert main([*arguments[:-1], "x.toml", "--window", "0"]) == exits.USAGE
    assert "--window is 0 s, must be above 0" in capsys.readouterr().err
    bad = ["profile", "calibrate", str(tmp_path / "none.csv"), "--out", str(tmp_path / "x.toml")]
    assert main(bad) == exits.REFUSED
    assert "No such file" in capsys.readouterr().err
