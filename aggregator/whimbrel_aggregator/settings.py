"""Typed reading of a TOML table: every error names file, table, key, problem and remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from whimbrel_protocol.errors import WhimbrelError

T = TypeVar("T")


class ConfigError(WhimbrelError):
    """A configuration file cannot be used.

    Attributes:
        file: the file.
        table: the table, such as ``[journal]``; empty when it is about the whole file.
        key: the key; empty when it is about the whole table.
        problem: what is wrong, with the value and the limit.
        fix: what to do.
    """

    def __init__(self, *, file: str, table: str, key: str, problem: str, fix: str) -> None:
        where = " ".join(part for part in (table, key) if part)
        super().__init__(f"{file}: {where}{' ' if where else ''}{problem}; {fix}")
        self.file = file
        self.table = table
        self.key = key
        self.problem = problem
        self.fix = fix


class Table:
    """One TOML table being read. Call :meth:`done` last: it refuses keys nobody asked for."""

    def __init__(self, values: object, *, file: Path, name: str) -> None:
        self._file = file
        self._name = name
        self._known: list[str] = []
        if not isinstance(values, Mapping):
            raise self.error("", f"is {values!r:.60}, not a table", f"write it as {name}")
        self._values: dict[str, Any] = dict(values)

    def error(self, key: str, problem: str, fix: str) -> ConfigError:
        """Return the error about a key of this table."""
        return ConfigError(
            file=self._file.name, table=self._name, key=key, problem=problem, fix=fix
        )

    def has(self, key: str) -> bool:
        """Say whether the key is set."""
        return key in self._values

    def _take(self, key: str) -> Any:
        self._known.append(key)
        return self._values.get(key)

    def _need(self, key: str, fix: str) -> ConfigError:
        return self.error(key, "is missing", fix)

    def text(self, key: str, default: str | None = None, *, fix: str = "set it to a text") -> str:
        """Take a text; without a default it is required."""
        value = self._take(key)
        if value is None:
            if default is None:
                raise self._need(key, fix)
            return default
        if not isinstance(value, str) or not value:
            raise self.error(key, f"is {value!r:.60}, not a text", fix)
        return value

    def checked(
        self, key: str, check: Callable[[str], T], *, fix: str, default: T | None = None
    ) -> T:
        """Take a text and pass it through ``check``, whose ValueError or WhimbrelError says why."""
        if default is not None and not self.has(key):
            self._known.append(key)
            return default
        value = self.text(key, fix=fix)
        try:
            return check(value)
        except (ValueError, WhimbrelError) as error:
            raise self.error(key, f"is {value!r:.80}: {error}", fix) from error

    def path(self, key: str, *, required: bool = True, fix: str = "name a file") -> Path | None:
        """Take a path; a relative one is taken from the configuration file's folder."""
        if not required and not self.has(key):
            self._known.append(key)
            return None
        return self._file.parent / self.text(key, fix=fix)

    def needed_path(self, key: str, *, fix: str = "name a file") -> Path:
        """Take a path that must be set."""
        path = self.path(key, fix=fix)
        if path is None:
            raise self._need(key, fix)
        return path

    def integer(self, key: str, default: int | None, *, low: int, high: int) -> int:
        """Take an integer in ``low..high``; without a default it is required."""
        value = self._take(key)
        if value is None:
            if default is None:
                raise self._need(key, f"set it to an integer from {low} to {high}")
            return default
        if type(value) is not int or not low <= value <= high:
            raise self.error(
                key,
                f"is {value!r:.60}, not an integer from {low} to {high}",
                "set it within these limits or leave it out",
            )
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """Take a number in ``low..high``."""
        value = self._take(key)
        if value is None:
            return default
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.error(
                key,
                f"is {value!r:.60}, not a number from {low:g} to {high:g}",
                "set it within these limits or leave it out",
            )
        return float(value)

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """Take one of a few words."""
        value = self._take(key)
        listed = ", ".join(options)
        if value is None and default is not None:
            return default
        if value not in options:
            raise self.error(key, f"is {value!r:.60}", f"use one of: {listed}")
        return str(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"is {value!r:.60}", "write true or false")
        return value

    def texts(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._take(key)
        if value is None:
            if default is None:
                raise self._need(key, "set it to a list of texts")
            return tuple(default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"is {value!r:.60}", "write it as a list of texts")
        return tuple(value)

    def listed(self, key: str) -> tuple[str, ...]:
        """Take one text or a list of them; absent means none."""
        try:
            return self.texts(key, ())
        except ConfigError:
            return (self.text(key, fix="write a text or a list of texts"),)

    def table(self, key: str) -> Table:
        """Take a table inside this one; absent means empty."""
        name = f"{self._name.rstrip(']')}.{key}]" if self._name else f"[{key}]"
        return Table(self._take(key) or {}, file=self._file, name=name)

    def tables(self, key: str) -> list[Table]:
        """Take an array of tables; absent means none."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, "is not an array of tables", f"write [[{key}]]")
        return [
            Table(item, file=self._file, name=f"[[{key}]] number {number}")
            for number, item in enumerate(value, 1)
        ]

    def done(self) -> None:
        """Refuse what nobody asked for.

        Raises:
            ConfigError: a key is not known; the error lists the known ones.
        """
        for key in self._values:
            if key not in self._known:
                raise self.error(
                    key,
                    "is not a known setting",
                    f"remove it or correct its name (known: {', '.join(sorted(set(self._known)))})",
                )
