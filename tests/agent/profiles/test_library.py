"""The shipped profiles: whole, sourced, and there in every kind of installation."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from documents import ROOT
from whimbrel_agent.profiles.library import (
    GENERIC,
    UnknownProfileError,
    folder,
    load_profile,
    names,
    shipped_profiles,
)
from whimbrel_agent.profiles.showing import profile_json
from whimbrel_agent.profiles.values import Basis, Profile
from whimbrel_agent.wear import years_left

PROFILES = shipped_profiles()
each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)


def figures(values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, dict):
        return []
    if "basis" in values:
        return [values]
    return [figure for value in values.values() for figure in figures(value)]


def test_all_hardware_classes_are_there() -> None:
    classes = {"pi-zero-2w", "pi-3b-plus", "pi-4", "pi-5"}
    classes |= {"battery-sensor-hub-lte", "mains-gateway", "solar-box", GENERIC}
    assert set(names()) == classes
    assert folder().resolve() == ROOT / "firmware-profiles"


@each_profile
def test_a_file_is_named_after_its_profile(profile: Profile) -> None:
    assert PROFILES[profile.name] is profile


@each_profile
def test_a_measured_figure_says_where_it_can_be_read(profile: Profile) -> None:
    for figure in figures(profile_json(profile)):
        if figure["basis"] in (Basis.MEASURED.value, Basis.DATA_SHEET.value):
            assert any(word in figure["source"] for word in ("https://", "INFOCOM", "MobiSys")) or (
                "PiSugar" in figure["source"]
            )


@each_profile
def test_derived_figures_follow_from_their_formula(profile: Profile) -> None:
    power, flash = profile.power, profile.flash
    per_core = (power.load_w.value - power.idle_w.value) / 4
    assert power.cpu_j_per_core_s.value == pytest.approx(per_core, abs=0.05)
    # a quarter of the card in ten years
    years = years_left(flash, flash.budget_mb_per_day.value)
    assert years == pytest.approx(40, rel=0.15)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownProfileError, match=r"'pi-9' is not a known profile.*pi-4"):
        load_profile("pi-9")


def test_a_path_is_taken_from_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes((folder() / "pi-4.toml").read_bytes())
    assert load_profile("mine.toml", beside=tmp_path) == PROFILES["pi-4"]
    assert load_profile(str(tmp_path / "mine.toml")) == PROFILES["pi-4"]


@pytest.mark.slow
def test_a_built_wheel_brings_the_profiles_along(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    program = (
        "import whimbrel_agent.profiles.library as library\n"
        "print(library.__file__, *library.shipped_profiles())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    place, *found = done.stdout.split()
    assert place.startswith(str(tmp_path / "site"))
    assert found == list(names())
    assert (tmp_path / "site" / "whimbrel_agent" / "firmware-profiles" / "schema.json").exists()
