"""A profile as JSON, as a table for people, and as a file again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from whimbrel_agent.plain import plain
from whimbrel_agent.profiles.fields import SCHEMA, TABLES, Field, Kind, TableSpec
from whimbrel_agent.profiles.values import Figure, Profile

__all__ = ["profile_json", "profile_table", "profile_toml"]

_UNITS: Final = {
    "mb_per_day": "MB/day", "j_per_core_s": "J/core-s", "j_per_byte": "J/byte",
    "bytes": "bytes", "wh": "Wh", "tb": "TB", "w": "W", "j": "J", "s": "s",
}  # fmt: skip
"""What the ends of keys mean, longest first."""


def profile_json(profile: Profile) -> dict[str, Any]:
    """Give the machine-readable form: the file's own tables and keys."""
    top: dict[str, Any] = {"schema": SCHEMA}
    for spec in TABLES:
        values = {field.key: plain(value) for field, value in _values(profile, spec)}
        if not spec.name:
            top |= values
        elif values:
            group, _, name = spec.name.rpartition(".")
            (top.setdefault(group, {}) if group else top)[name] = values
    return top


def profile_table(profile: Profile) -> str:
    """Give every key with its unit, basis and source."""
    lines = [f"{profile.name}: {profile.title}"]
    for spec in TABLES[1:]:
        rows = list(_values(profile, spec))
        if rows:
            lines += ["", spec.name]
        for field, value in rows:
            lines.append(f"  {field.key:<20}{_shown(field, value)}")
    return "\n".join(lines)


def profile_toml(profile: Profile, *, comment: str = "") -> str:
    """Give the text of a file that reads back as the same profile."""
    lines = ["#:schema schema.json", *(f"# {line}" for line in comment.splitlines())]
    lines.append(f"schema = {SCHEMA}")
    for spec in TABLES:
        rows = list(_values(profile, spec))
        if spec.name and rows:
            lines += ["", f"[{spec.name}]"]
        lines += [f"{field.key} = {_toml(value)}" for field, value in rows]
    return "\n".join([*lines, ""])


def _values(profile: Profile, spec: TableSpec) -> Iterator[tuple[Field, Any]]:
    """Yield what a profile says of one table's keys."""
    group, _, lane = spec.name.rpartition(".")
    if not spec.name or spec.name == "detect":
        holder: Any = profile
    elif group == "lanes":
        holder = profile.lanes.get(lane)
    else:
        holder = getattr(profile, spec.name)
    for field in spec.fields:
        if field.key == "schema" or holder is None:
            continue
        value = getattr(holder, field.key)
        if value not in (None, ()) and not (field.key == "window_s" and value == 0):
            yield field, getattr(value, "value", value) if field.kind is Kind.CHOICE else value


def _shown(field: Field, value: Any) -> str:
    unit = next((word for end, word in _UNITS.items() if field.key.endswith(f"_{end}")), "")
    if isinstance(value, Figure):
        return f"{f'{value.value:g} {unit}':<18}{value.basis.value}: {value.source}".rstrip()
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value} {unit}".rstrip()


def _toml(value: Any) -> str:
    if isinstance(value, Figure):
        return (
            f'{{ value = {value.value!r}, basis = "{value.basis.value}", '
            f"source = {_quoted(value.source)} }}"
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(item) for item in value)}]"
    return repr(value) if isinstance(value, int | float) else _quoted(value)


def _quoted(text: str) -> str:
    """Return a basic TOML string: what JSON escapes, TOML escapes alike, but for DEL."""
    import json  # noqa: PLC0415  only for a file that is written

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
