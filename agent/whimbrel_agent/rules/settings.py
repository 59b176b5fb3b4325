"""``[[rules]]`` of ``agent.toml``: read, checked, with what would be right instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_agent.rules.expression import field_of
from whimbrel_agent.rules.selecting import selector_of
from whimbrel_agent.rules.tokens import ExpressionError
from whimbrel_agent.rules.values import KINDS, MAX_RULES, STATS, RuleConfig
from whimbrel_agent.settings import Table
from whimbrel_protocol.lanes import LANES

__all__ = ["read_rules", "stored_rule"]

MAX_FIELDS: Final = 16
"""Of one rule; a sensor that measures more is rare, and its state stays a row of a few pages."""

MAX_KEY_FIELDS: Final = 4
"""Source, zone, and two more."""

MAX_K: Final = 8
"""An event may close the windows of its own series and of the one that goes to make room: twice three
windows of eight events of a kilobyte fit the smallest buffer's transaction."""

MAX_KEYS: Final = 10_000
"""Each series takes about a kilobyte of memory; ten thousand are what a small board can spare."""

MAX_WINDOW_S: Final = 7 * 86_400.0
"""A week; what is older than that nobody waits for."""

MAX_RAW_DAYS: Final = 366.0
_MAX_TYPE_CHARS: Final = 200
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_ROOTS: Final = ("type", "source", "zone", "subject", "lane", "data", "extensions")
_EXAMPLES: Final = {
    "deadband": 'fields = ["celsius"] and band = 0.5',
    "window": 'window_s = 60 and fields = ["celsius"]',
    "swinging-door": 'fields = ["celsius"] and band = 0.5',
    "sample": "every = 10, or period_s = 60",
    "top-k": 'by = "total", k = 3 and window_s = 3600',
}


def read_rules(top: Table) -> tuple[RuleConfig, ...]:
    """Read all ``[[rules]]`` of a file, in their order.

    Raises:
        ConfigError: naming the rule, the setting, the problem and the remedy.
    """
    items = top.items("rules") or []
    if len(items) > MAX_RULES:
        raise top.error("rules", f"are {len(items)}, at most {MAX_RULES}; join some with or")
    rules: list[RuleConfig] = []
    for item in items:
        if not isinstance(item, dict):
            raise top.error("rules", "must be tables; write [[rules]] above each rule's settings")
        rule = _rule(Table(top.file, f"rules.{len(rules) + 1}", item), item)
        if any(rule.name == other.name for other in rules):
            raise top.error("rules", f"has two rules called {rule.name!r}; give each its own name")
        rules.append(rule)
    return tuple(rules)


def stored_rule(definition: Mapping[str, Any]) -> RuleConfig:
    """Read a rule back as it was stored beside its states.

    Raises:
        ConfigError: it was stored by a program that knows other rules.
    """
    return _rule(Table(Path("rule"), "rules", definition), definition)


def _rule(table: Table, item: Mapping[str, Any]) -> RuleConfig:
    name = table.text("name")
    if _NAME.fullmatch(name) is None:
        raise table.error("name", f"is {name!r:.80}, must match [a-z0-9][a-z0-9_-]{{0,31}}")
    table = _named(table, name, item)
    do = table.choice("do", "", KINDS)
    readers = {
        "deadband": _deadband,
        "change": _change,
        "window": _window,
        "swinging-door": _door,
        "sample": _sample,
        "top-k": _top,
    }
    read = readers.get(do)
    settings = {} if read is None else {**_series(table), **read(table)}
    config = RuleConfig(
        name=name,
        when=_when(table),
        do=do,
        raw_days=table.number("raw_days", 0.0, 0, MAX_RAW_DAYS),
        definition=dict(item),
        **settings,
    )
    table.finish()
    return config


def _named(table: Table, name: str, item: Mapping[str, Any]) -> Table:
    """Give the table again under the rule's own name, for errors."""
    again = Table(table.file, f"rules {name}", item)
    again.text("name")
    return again


def _when(table: Table) -> str:
    text = table.text("when")
    try:
        selector_of(text)
    except ExpressionError as error:
        raise table.error("when", f"cannot be used: {error}") from error
    return text


def _series(table: Table) -> dict[str, Any]:
    key = table.items("key")
    fields = ("source",) if key is None else _fields(table, "key", key, MAX_KEY_FIELDS)
    return {"key": fields, "max_keys": table.integer("max_keys", 1_000, 1, MAX_KEYS)}


def _deadband(table: Table) -> dict[str, Any]:
    percent = table.optional_number("band_percent", 0, 1_000)
    band = table.optional_number("band", 0, 1e300)
    if (percent is None) == (band is None):
        raise table.error("band", f"or band_percent must be set, one of them: {_example(table)}")
    return {
        "fields": _numeric(table),
        "band": band or 0.0,
        "band_percent": percent,
        "at_least_s": _at_least(table),
    }


def _change(table: Table) -> dict[str, Any]:
    fields = _fields(table, "fields", table.items("fields") or [], MAX_FIELDS)
    return {"fields": fields, "at_least_s": _at_least(table)}


def _door(table: Table) -> dict[str, Any]:
    band = table.optional_number("band", 0, 1e300)
    if not band:
        raise table.error("band", f"must be more than 0: {_example(table)}")
    return {
        "fields": _numeric(table),
        "band": band,
        "at_least_s": _at_least(table),
        "hold_s": table.number("hold_s", 60.0, 1, 86_400),
    }


def _sample(table: Table) -> dict[str, Any]:
    every = table.integer("every", 0, 0, 1_000_000) or None
    period_s = table.optional_number("period_s", 0.001, MAX_WINDOW_S)
    if (every is None) == (period_s is None):
        raise table.error("every", f"or period_s must be set, one of them: {_example(table)}")
    return {"every": every, "period_s": period_s, "at_least_s": _at_least(table)}


def _window(table: Table) -> dict[str, Any]:
    fields = _fields(table, "fields", table.items("fields") or [], MAX_FIELDS)
    _refuse_attributes(table, fields)
    names = [field_of(name).path[-1] for name in fields]
    if len(set(names)) != len(names):
        raise table.error("fields", f"has two called {names[0]!r}; give each a rule of its own")
    kind = table.optional_text("type")
    if kind is not None and len(kind.encode()) > _MAX_TYPE_CHARS:
        raise table.error("type", f"has over {_MAX_TYPE_CHARS} bytes; use a shorter one")
    return {
        **_span(table),
        "fields": fields,
        "stats": _stats(table),
        "type": kind,
        "lane": table.choice("lane", "", ("", *LANES)) or None,
    }


def _top(table: Table) -> dict[str, Any]:
    (by,) = _fields(table, "by", [table.text("by")], 1)
    _refuse_attributes(table, (by,))
    return {**_span(table), "by": by, "k": table.integer("k", 3, 1, MAX_K)}


def _span(table: Table) -> dict[str, Any]:
    return {
        "window_s": table.number("window_s", 60.0, 1, MAX_WINDOW_S),
        "lateness_s": table.number("lateness_s", 2.0, 0, 86_400),
    }


def _stats(table: Table) -> tuple[str, ...]:
    stats = table.items("stats")
    if stats is None:
        return STATS
    for stat in stats:
        if stat not in STATS:
            raise table.error("stats", f"holds {stat!r:.40}, must be some of {', '.join(STATS)}")
    return tuple(dict.fromkeys(stats))


def _numeric(table: Table) -> tuple[str, ...]:
    fields = _fields(table, "fields", table.items("fields") or [], MAX_FIELDS)
    if not fields:
        raise table.error("fields", f"is missing: {_example(table)}")
    _refuse_attributes(table, fields)
    return fields


def _refuse_attributes(table: Table, fields: Sequence[str]) -> None:
    for name in fields:
        path = field_of(name).path
        if path[0] not in ("data", "extensions"):
            raise table.error("fields", f"holds {name!r}, which is never a number: use data.NAME")
        if len(path[-1].encode()) > _MAX_TYPE_CHARS:
            raise table.error("fields", f"holds a name of over {_MAX_TYPE_CHARS} bytes")


def _fields(table: Table, key: str, items: Sequence[Any], most: int) -> tuple[str, ...]:
    """Take names of fields; a plain name is one of data."""
    if len(items) > most:
        raise table.error(key, f"names {len(items)} fields, at most {most}")
    found: list[str] = []
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise table.error(key, f"holds {item!r:.60}, must name fields such as data.celsius")
        root = re.split(r"[.\[]", item.strip(), maxsplit=1)[0]
        name = item if root in _ROOTS else f"data.{item}"
        try:
            field_of(name)
        except ExpressionError as error:
            raise table.error(key, f"holds {item!r:.60}: {error}") from error
        found.append(name)
    return tuple(found)


def _at_least(table: Table) -> float | None:
    return table.optional_number("at_least_s", 1, MAX_WINDOW_S)


def _example(table: Table) -> str:
    return f"for example {_EXAMPLES[table.choice('do', '', KINDS)]}"
