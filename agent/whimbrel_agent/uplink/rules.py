"""Reads the rules of links from ``[uplink]`` and ``[uplink.links.NAME]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Final

from whimbrel_agent.settings import Table
from whimbrel_agent.uplink.limits import DayLimit, LinkRules

MAX_CLASSES: Final = 16
MAX_DAY_LIMITS: Final = 24
MAX_NAME_BYTES: Final = 64
"""A class's name stands in the budgets file, with its size in one byte."""

MIN_BITS_PER_S: Final = 8_000
"""A frame of 16 KiB takes 16 s then; less would only mean that nothing arrives."""

MAX_BITS_PER_S: Final = 10_000_000_000
MIN_BUDGET_BYTES: Final = 1_000_000
MAX_BUDGET_BYTES: Final = 10**15
MAX_MONTH_DAY: Final = 28  # every month has one

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(k|m|g)?bit/s", re.ASCII)
_FACTORS: Final = {None: 1, "k": 1e3, "m": 1e6, "g": 1e9}
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def link_classes(table: Table, brokers: Sequence[str]) -> tuple[LinkRules, ...]:
    """Return the classes of links, those of ``[uplink.links]`` first, ``[uplink]``'s own last.

    Args:
        table: ``[uplink]``.
        brokers: its brokers as they were written.

    Raises:
        ConfigError: a setting is wrong.
    """
    name = table.optional_text("time_zone")
    own = _rules(table, LinkRules(zone=_zone(table, name)))
    links = table.table("links")
    if links is None:
        return (own,)
    names = links.names()
    if len(names) > MAX_CLASSES:
        raise links.error(names[MAX_CLASSES], f"is one class too many, at most {MAX_CLASSES}")
    classes = []
    for one in names:
        if len(one.encode()) > MAX_NAME_BYTES:
            raise links.error(one, f"is a name too long, at most {MAX_NAME_BYTES} bytes")
        inner = links.required_table(one)
        default = LinkRules(name=f"links.{one}", polite=own.polite, zone=own.zone)
        rules = replace(
            _rules(inner, default),
            interfaces=_texts(inner, "interfaces"),
            brokers=_indices(inner, brokers),
        )
        if not rules.interfaces and not rules.brokers:
            raise inner.error("interfaces", 'is missing; add interfaces = ["wwan*"] or brokers')
        inner.finish()
        classes.append(rules)
    return (*classes, own)


def _rules(table: Table, default: LinkRules) -> LinkRules:
    background = table.choice("background", "polite" if default.polite else "fair", _BACKGROUND)
    text = table.optional_text("rate_limit")
    replay = table.optional_text("replay_limit")
    monthly = table.size("monthly_budget", 0, 0, MAX_BUDGET_BYTES)
    if 0 < monthly < MIN_BUDGET_BYTES:
        raise table.error("monthly_budget", f"is {monthly} bytes, must be 0 or 1 MB and more")
    return replace(
        default,
        polite=background == "polite",
        bytes_per_s=None if text is None else _rate(table, "rate_limit", text),
        replay_bytes_per_s=None if replay is None else _rate(table, "replay_limit", replay),
        day_limits=tuple(_day_limit(table, item) for item in _day_items(table)),
        monthly_bytes=monthly or None,
        month_day=table.integer("monthly_budget_day", 1, 1, MAX_MONTH_DAY),
    )


_BACKGROUND: Final = ("polite", "fair")


def _rate(table: Table, key: str, text: object) -> float:
    match = _RATE.fullmatch(text.lower()) if isinstance(text, str) else None
    bits = float(match[1]) * _FACTORS[match[2]] if match else 0.0
    if not MIN_BITS_PER_S <= bits <= MAX_BITS_PER_S:
        raise table.error(key, f'is {text!r:.60}, must be a rate from "8 kbit/s" to "10 Gbit/s"')
    return bits / 8


def _day_items(table: Table) -> list[object]:
    items = table.items("day_limits") or []
    if len(items) > MAX_DAY_LIMITS:
        raise table.error("day_limits", f"has {len(items)} entries, at most {MAX_DAY_LIMITS}")
    return items


def _day_limit(table: Table, item: object) -> DayLimit:
    if not isinstance(item, dict):
        raise table.error(
            "day_limits",
            f"holds {item!r:.60}, must be like "
            '{ from = "08:00", to = "20:00", rate_limit = "500 kbit/s" }',
        )
    inner = Table(table.file, f"{table.name}.day_limits", item)
    begin, end = (_minute(inner, key) for key in ("from", "to"))
    if begin == end:
        raise inner.error("to", f"is the same as from; write rate_limit in [{table.name}] instead")
    limit = DayLimit(begin, end, _rate(inner, "rate_limit", inner.text("rate_limit")))
    inner.finish()
    return limit


def _minute(table: Table, key: str) -> int:
    text = table.text(key)
    match = _TIME.fullmatch(text)
    if match is None and text != "24:00":
        raise table.error(key, f'is {text!r:.20}, must be a time of day like "08:00"')
    return 0 if match is None else int(match[1]) * 60 + int(match[2])


def _zone(table: Table, name: str | None) -> tzinfo:
    if name is None:
        return UTC
    import zoneinfo  # noqa: PLC0415  for those who name a zone; it costs memory

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise table.error(
            "time_zone",
            f"is {name!r:.60}, which this machine does not know; "
            'write a name like "Europe/Berlin", or install its tzdata',
        ) from error


def _texts(table: Table, key: str) -> tuple[str, ...]:
    items = table.items(key) or []
    for item in items:
        if not isinstance(item, str) or not item:
            raise table.error(key, f"holds {item!r:.60}, must be a list of texts")
    return tuple(items)


def _indices(table: Table, brokers: Sequence[str]) -> frozenset[int]:
    found = set()
    for text in _texts(table, "brokers"):
        if text not in brokers:
            raise table.error("brokers", f"names {text!r:.80}, which is none of [uplink] brokers")
        found.add(list(brokers).index(text))
    return frozenset(found)
