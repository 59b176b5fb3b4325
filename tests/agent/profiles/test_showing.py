"""A profile as JSON, table and file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from whimbrel_agent.profiles.library import shipped_profiles
from whimbrel_agent.profiles.reading import parse_profile
from whimbrel_agent.profiles.showing import profile_json, profile_table, profile_toml
from whimbrel_agent.profiles.values import Profile

PROFILES = shipped_profiles()
each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)


@each_profile
def test_what_is_written_reads_back_the_same(profile: Profile) -> None:
    text = profile_toml(profile, comment="one\ntwo")
    assert parse_profile(Path("x.toml"), tomllib.loads(text)) == profile
    values = json.loads(json.dumps(profile_json(profile)))
    assert parse_profile(Path("x.toml"), values) == profile


def test_texts_with_quotes_survive() -> None:
    from dataclasses import replace  # noqa: PLC0415

    profile = replace(PROFILES["pi-4"], title='6" of "solder"\tand a \\')
    assert parse_profile(Path("x.toml"), tomllib.loads(profile_toml(profile))) == profile


def test_the_table_has_units_and_sources() -> None:
    text = profile_table(PROFILES["solar-box"])
    assert "tail_s              10 s              assumed: the operator sets it" in text
    assert "capacity_wh         256 Wh" in text
    assert "metered             yes" in text
    assert "battery" not in profile_table(PROFILES["pi-4"])
