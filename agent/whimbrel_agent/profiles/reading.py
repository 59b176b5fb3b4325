"""Reads a profile's file strictly: what is missing, unknown or out of range is named and refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.profiles.fields import (
    FIGURE_FIELDS,
    MAX_TEXT,
    NAME_PATTERN,
    SCHEMA,
    TABLES,
    TOP,
    Field,
    Kind,
    TableSpec,
)
from whimbrel_agent.profiles.values import (
    Basis,
    Battery,
    Defaults,
    Durability,
    Figure,
    Flash,
    IntakeLimits,
    LaneDefaults,
    Memory,
    Power,
    Profile,
    Radio,
)
from whimbrel_agent.settings import ConfigError, Table

__all__ = ["MAX_FILE_BYTES", "parse_profile", "read_profile"]

MAX_FILE_BYTES: Final = 64 * 1024
"""A profile is two pages; anything near this is the wrong file."""

_EXAMPLES: Final = {
    Kind.FIGURE: '{ value = 1.0, basis = "measured", source = "..." }',
    Kind.NUMBER: "1.0",
    Kind.INTEGER: "1",
    Kind.TEXT: '"..."',
    Kind.NAME: '"my-board"',
    Kind.FLAG: "false",
    Kind.TEXTS: '["..."]',
}


def read_profile(file: Path) -> Profile:
    """Read and check a profile's file.

    Raises:
        ConfigError: naming file, table, key, problem and remedy.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(file, "", "", f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(file, "", "", f"is larger than {MAX_FILE_BYTES} bytes, no profile is")
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(file, "", "", f"is not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, "", "", f"is not TOML: {error}") from error
    return parse_profile(file, values)


def parse_profile(file: Path, values: Mapping[str, Any]) -> Profile:
    """Check a parsed file.

    Args:
        file: named in errors.
        values: what its TOML says.

    Raises:
        ConfigError: as for :func:`read_profile`.
    """
    top = Table(file, "", values)
    schema = values.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise top.error("schema", f"is {schema}, this program reads {SCHEMA}; install a newer one")
    found = {spec.name: _taken(top, spec) for spec in TABLES if not spec.name.startswith("lanes.")}
    lanes = _lanes(top)
    top.finish()
    profile = _built(found, lanes)
    _check(top, profile)
    return profile


def _built(found: Mapping[str, Any], lanes: Mapping[str, LaneDefaults]) -> Profile:
    battery = found["battery"]
    defaults = dict(found["defaults"])
    defaults["durability"] = Durability(defaults["durability"])
    return Profile(
        name=found[""]["name"],
        title=found[""]["title"],
        models=tuple(found["detect"]["models"]) if found["detect"] else (),
        memory=Memory(**found["memory"]),
        flash=Flash(**found["flash"]),
        power=Power(**found["power"]),
        radio=Radio(**found["radio"]),
        battery=Battery(**battery) if battery else None,
        defaults=Defaults(**defaults),
        intake=IntakeLimits(**found["intake"]),
        lanes=lanes,
    )


def _check(top: Table, profile: Profile) -> None:
    """Check what joins keys."""
    memory, power, defaults = profile.memory, profile.power, profile.defaults
    if memory.agent_bytes > memory.total_bytes:
        raise _of(top, "memory").error(
            "agent_bytes",
            f"is {memory.agent_bytes}, must be at most total_bytes ({memory.total_bytes})",
        )
    if power.idle_w.value > power.load_w.value:
        raise _of(top, "power").error(
            "idle_w",
            f"is {power.idle_w.value:g} W, must be at most load_w ({power.load_w.value:g} W)",
        )
    windowed = defaults.durability is Durability.WINDOW
    if windowed != (defaults.window_s > 0):
        rule = "must be above 0" if windowed else 'must be 0, or durability "window"'
        raise _of(top, "defaults").error(
            "window_s",
            f'is {defaults.window_s:g} with durability "{defaults.durability.value}", {rule}',
        )


def _of(top: Table, name: str) -> Table:
    return Table(top.file, name, {})


def _taken(top: Table, spec: TableSpec) -> dict[str, Any] | None:
    if spec is TOP:
        return _values(top, spec.fields)
    table = top.required_table(spec.name) if spec.required else top.table(spec.name)
    if table is None:
        return None
    values = _values(table, spec.fields)
    table.finish()
    return values


def _lanes(top: Table) -> dict[str, LaneDefaults]:
    group = top.table("lanes")
    if group is None:
        return {}
    lanes = {}
    for spec in TABLES:
        prefix, _, lane = spec.name.partition(".")
        table = group.table(lane) if prefix == "lanes" else None
        if table is not None:
            lanes[lane] = LaneDefaults(**_values(table, spec.fields))
            table.finish()
    group.finish()
    return lanes


def _values(table: Table, fields: tuple[Field, ...]) -> dict[str, Any]:
    present = {field.key: table.has(field.key) for field in fields}
    values = {}
    for field in fields:
        if present[field.key]:
            values[field.key] = _value(table, field)
        elif field.required:
            example = _EXAMPLES.get(field.kind) or f'"{field.choices[0]}"'
            raise table.error(
                field.key, f"is missing ({field.meaning}); add {field.key} = {example}"
            )
    return values


def _value(table: Table, field: Field) -> Any:
    key = field.key
    match field.kind:
        case Kind.FIGURE:
            return _figure(table, field)
        case Kind.NUMBER:
            return table.number(key, 0, field.low, field.high)
        case Kind.INTEGER:
            return table.integer(key, 0, int(field.low), int(field.high))
        case Kind.TEXT:
            return _text(table, key, table.text(key))
        case Kind.NAME:
            return _name(table, key)
        case Kind.CHOICE:
            return table.choice(key, "", field.choices)
        case Kind.FLAG:
            return table.flag(key, default=False)
        case Kind.TEXTS:
            return _texts(table, key)


def _figure(table: Table, field: Field) -> Figure:
    inner = table.table(field.key)
    assert inner is not None, "presence was checked"
    number, basis, source = FIGURE_FIELDS
    bounded = Field(number.key, number.kind, number.meaning, field.low, field.high)
    values = _values(inner, (bounded, basis, source))
    inner.finish()
    return Figure(values["value"], Basis(values["basis"]), values["source"])


def _text(table: Table, key: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise table.error(key, f"has {len(text)} characters, at most {MAX_TEXT}")
    return text


def _name(table: Table, key: str) -> str:
    name = table.text(key)
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise table.error(
            key, f"is {name!r:.60}, must be a name of a-z, 0-9 and -, at most 40, such as my-board"
        )
    return name


def _texts(table: Table, key: str) -> list[str]:
    items = table.items(key)
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise table.error(key, f'is {items!r:.60}, must be a list of texts, such as ["..."]')
    return [_text(table, key, item) for item in items]
