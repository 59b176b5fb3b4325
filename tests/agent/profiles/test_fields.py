"""The schema for editors and our own loader say the same."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from documents import ROOT
from whimbrel_agent.profiles.fields import TABLES, json_schema
from whimbrel_agent.profiles.library import names
from whimbrel_agent.profiles.reading import parse_profile
from whimbrel_agent.settings import ConfigError

FOLDER = ROOT / "firmware-profiles"
SOUND = tomllib.loads((FOLDER / "battery-sensor-hub-lte.toml").read_text())


VALIDATOR = jsonschema_rs.validator_for(json_schema())


def schema_accepts(values: dict[str, Any]) -> bool:
    return VALIDATOR.is_valid(values)


def loader_accepts(values: dict[str, Any]) -> bool:
    try:
        parse_profile(Path("mine.toml"), values)
    except ConfigError:
        return False
    return True


def test_the_committed_schema_is_made_from_the_table() -> None:
    assert json.loads((FOLDER / "schema.json").read_text()) == json_schema()


@pytest.mark.parametrize("name", names())
def test_both_take_every_shipped_profile(name: str) -> None:
    values = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    assert schema_accepts(values)
    assert loader_accepts(values)


def places(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield (*path, key)
            yield from places(value, (*path, key))


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    values = copy.deepcopy(SOUND)
    holder = values
    for key in path[:-1]:
        holder = holder[key]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return values


OPTIONAL = {("battery",), ("lanes",), *(("lanes", lane) for lane in SOUND["lanes"])}
OPTIONAL |= {("lanes", lane, key) for lane, keys in SOUND["lanes"].items() for key in keys}
OPTIONAL |= {("defaults", "dictionaries")}
# Rules that join keys are the loader's alone.
JOINED = {("defaults", "window_s")}


PATHS = sorted(places(SOUND))


def test_both_refuse_a_missing_key_unless_it_is_optional() -> None:
    for path in PATHS:
        if path not in JOINED:
            values = changed(path, None)
            accepted = path in OPTIONAL
            assert (schema_accepts(values), loader_accepts(values)) == (accepted, accepted), path


@pytest.mark.parametrize("wrong", [[], -1, 1e300, "", "  ", {"odd": 1}], ids=repr)
def test_both_refuse_what_cannot_be_there(wrong: Any) -> None:
    for path in PATHS:
        values = changed(path, wrong)
        assert (schema_accepts(values), loader_accepts(values)) == (False, False), path


def test_both_refuse_an_unknown_key_beside_every_known_one() -> None:
    for path in PATHS:
        values = changed((*path[:-1], "tail_sec"), 1)
        assert (schema_accepts(values), loader_accepts(values)) == (False, False), path


def test_every_key_has_a_meaning_and_a_range() -> None:
    for spec in TABLES:
        for field in spec.fields:
            assert field.meaning
            assert field.low <= field.high
