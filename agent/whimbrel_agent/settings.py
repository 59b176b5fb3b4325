"""Reading one table of a TOML file, with errors that say how to put the file right.

A :class:`Table` hands out typed settings; what nobody asked for is an unknown setting and
refused, so a misspelt name never passes in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_protocol.errors import WhimbrelError

_UNITS: Final = {
    "": 1, "b": 1,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3,
}  # fmt: skip
_SIZE: Final = re.compile(r"(\d+) ?([a-zA-Z]*)")
_SECRET_WORDS: Final = ("password", "secret", "token")


class ConfigError(WhimbrelError):
    """The configuration cannot be used.

    Attributes:
        file: the file, as it was named.
        table: the table, such as ``intake.http``; empty for the top of the file.
        key: the setting, empty when the table itself is meant.
        problem: what is wrong and what would be right.
    """

    def __init__(self, file: Path, table: str, key: str, problem: str) -> None:
        where = f"[{table}] {key}".strip() if table else key
        super().__init__(f"{file}: {where} {problem}" if where else f"{file}: {problem}")
        self.file = file
        self.table = table
        self.key = key
        self.problem = problem


class Table:
    """One table of a configuration file; every getter marks its key as known."""

    def __init__(self, file: Path, name: str, values: Mapping[str, Any]) -> None:
        self.file = file
        self.name = name
        self._values = values
        self._known: list[str] = []

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error for a setting of this table, ready to be raised."""
        return ConfigError(self.file, self.name, key, problem)

    def has(self, key: str) -> bool:
        """Whether the file sets this key, which is known from now on."""
        return self._take(key) is not None

    def optional_text(self, key: str) -> str | None:
        """Take a text, or None when it is not set."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(key, value, "a text that is not empty")
        return value

    def text(self, key: str) -> str:
        """Take a text that must be there."""
        value = self.optional_text(key)
        if value is None:
            raise self.error(key, f'is missing; add {key} = "..."')
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """Take one of some words."""
        value = self._take(key, default)
        if value not in choices:
            raise self._wrong(key, value, f"one of {', '.join(choices)}")
        return str(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """Take a whole number within ``low..high``."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Take a number within ``low..high``."""
        value = self._take(key, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self._wrong(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        """Take a number within ``low..high``, or None when it is not set."""
        return None if self._take(key) is None else self.number(key, low, low, high)

    def size(self, key: str, default: int, low: int, high: int) -> int:
        """Take a size in bytes: a whole number, or a text such as "64 MiB"."""
        value = self._take(key, default)
        size = _bytes_of(value)
        if size is None or not low <= size <= high:
            raise self._wrong(
                key, value, f'a size from {low} to {high} bytes (a number, or text like "64 MiB")'
            )
        return size

    def optional_path(self, key: str) -> Path | None:
        """Take a path, relative to the folder of the file, or None when it is not set."""
        value = self.optional_text(key)
        if value is None:
            return None
        if "\0" in value:
            raise self._wrong(key, value, "a path without NUL bytes")
        return self.file.parent / Path(value).expanduser()

    def path(self, key: str) -> Path:
        """Take a path that must be there, relative to the folder of the file."""
        self.text(key)
        path = self.optional_path(key)
        assert path is not None
        return path

    def items(self, key: str) -> list[Any] | None:
        """Take a list, or None when it is not set."""
        value = self._take(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, value, "a list, such as [...]")
        return value

    def names(self) -> list[str]:
        """Return the names of what is set, for tables whose keys are the user's."""
        return list(self._values)

    def table(self, key: str) -> Table | None:
        """Take an inner table, or None when it is not there."""
        value = self._take(key)
        if value is None:
            return None
        name = f"{self.name}.{key}" if self.name else key
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table; write [{name}] above its settings")
        return Table(self.file, name, value)

    def required_table(self, key: str) -> Table:
        """Take an inner table that must be there."""
        table = self.table(key)
        if table is None:
            name = f"{self.name}.{key}" if self.name else key
            raise ConfigError(self.file, name, "", "is missing; add the table")
        return table

    def finish(self) -> None:
        """Refuse every setting that was not asked for.

        Raises:
            ConfigError: naming the first one and what is known.
        """
        for key in self._values:
            if key not in self._known:
                import difflib  # noqa: PLC0415  only for somebody who mistyped

                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                known = ", ".join(self._known)
                what = "setting" if self.name else "table"
                raise self.error(key, f"is not a known {what}; {hint}(known: {known})")

    def _take(self, key: str, default: object = None) -> Any:
        if key not in self._known:
            self._known.append(key)
        return self._values.get(key, default)

    def _wrong(self, key: str, value: object, rule: str) -> ConfigError:
        secret = any(word in key for word in _SECRET_WORDS)
        shown = "(not shown)" if secret else repr(value)[:80]
        return self.error(key, f"is {shown}, must be {rule}")


def _bytes_of(value: object) -> int | None:
    if type(value) is int:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        return None
    return int(match[1]) * _UNITS[match[2].lower()]
