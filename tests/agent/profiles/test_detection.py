"""Which profile a board gets, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.profiles.choosing import choose_profile
from whimbrel_agent.profiles.detection import detect
from whimbrel_agent.profiles.hardware import Hardware, read_hardware
from whimbrel_agent.profiles.library import shipped_profiles
from whimbrel_agent.settings import ConfigError

PROFILES = shipped_profiles()
MIB = 1024 * 1024


def board(root: Path, *, model: str | None, memory_kb: int = 3_884_000, cpuinfo: str = "") -> Path:
    tree = root / "proc" / "device-tree"
    tree.mkdir(parents=True)
    if model is not None:
        (tree / "model").write_bytes(model.encode() + b"\0")
    cores = "".join(f"processor\t: {number}\nBogoMIPS\t: 108.00\n\n" for number in range(4))
    (root / "proc" / "cpuinfo").write_text(cores + cpuinfo)
    (root / "proc" / "meminfo").write_text(f"MemTotal:       {memory_kb} kB\nMemFree: 1 kB\n")
    return root


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Raspberry Pi Zero 2 W Rev 1.0", "pi-zero-2w"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "pi-3b-plus"),
        ("Raspberry Pi 4 Model B Rev 1.5", "pi-4"),
        ("Raspberry Pi Compute Module 4 Rev 1.0", "pi-4"),
        ("Raspberry Pi 5 Model B Rev 1.0", "pi-5"),
        ("Raspberry Pi 3 Model B Rev 1.2", "generic"),
        ("Raspberry Pi 500 Rev 1.0", "pi-5"),
        ("Hardkernel ODROID-C4", "generic"),
        ("", "generic"),
    ],
)
def test_a_board_is_known_by_its_model(model: str, name: str, tmp_path: Path) -> None:
    chosen = choose_profile(None, root=board(tmp_path, model=model))
    assert chosen.profile.name == name
    assert chosen.reason.startswith("detected: ")
    assert ("[device] profile" in chosen.reason) == (name == "generic")


def test_the_model_may_stand_in_cpuinfo_alone(tmp_path: Path) -> None:
    text = "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n"
    hardware = read_hardware(board(tmp_path, model=None, cpuinfo=text))
    assert hardware == Hardware("Raspberry Pi 4 Model B Rev 1.1", 4, 3_884_000 * 1024)


def test_a_board_with_less_memory_than_its_profile_gets_the_generic_one() -> None:
    detection = detect(Hardware("Raspberry Pi 5 Model B Rev 1.0", 4, 512 * MIB), PROFILES)
    assert detection.name == "generic"
    assert "512 MiB of memory and that profile is made for 1600 MiB or more" in detection.reason


def test_unknown_memory_is_no_reason_against_a_board() -> None:
    detection = detect(Hardware("Raspberry Pi 5 Model B Rev 1.0", 0, 0), PROFILES)
    assert detection.name == "pi-5"
    assert detection.reason.endswith("cores unknown, memory unknown")


def test_a_machine_without_any_of_these_files_is_unknown(tmp_path: Path) -> None:
    assert read_hardware(tmp_path) == Hardware("", 0, 0)
    assert "a board without a model" in choose_profile(None, root=tmp_path).reason


def test_settings_outrank_the_board(tmp_path: Path) -> None:
    root = board(tmp_path, model="Raspberry Pi 4 Model B Rev 1.5")
    chosen = choose_profile("solar-box", root=root)
    assert (chosen.profile.name, chosen.reason) == ("solar-box", "agent.toml names it")
    with pytest.raises(ConfigError, match="cannot be read"):
        choose_profile("./mine.toml", beside=tmp_path)
