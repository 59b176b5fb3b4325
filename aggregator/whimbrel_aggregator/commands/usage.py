"""``whimbrel-aggregator usage``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.access import ask_pages
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.commands.tables import size_text, table
from whimbrel_aggregator.configfile import load_config


def run(options: argparse.Namespace) -> int:
    """Show what tenants, stores and devices delivered in a month."""
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    params = {"limit": "500"}
    for name in ("month", "per", "tenant"):
        value = getattr(options, name)
        if value is not None:
            params[name] = value
    usage = ask_pages(load_config(options.config), "/v1/usage", "usage", "after", params)
    print(json.dumps({"usage": usage}) if options.json else usage_text(usage))
    return exits.DONE


def usage_text(usage: list[Mapping[str, Any]]) -> str:
    """Return usage as text for people."""
    rows = [
        (
            one["per"],
            "/".join(one[key] for key in ("tenant", "store", "device") if one[key]),
            one["frames"],
            one["events"],
            size_text(one["bytes"]),
            quota_text(one),
        )
        for one in usage
    ]
    return table(("PER", "NAME", "FRAMES", "EVENTS", "BYTES", "OF QUOTA"), rows)


def quota_text(one: Mapping[str, Any]) -> str:
    """Return how much of its quotas a name has used, empty without any."""
    parts = [
        f"{100 * one[key] / one[quota]:.1f} % of {shown(one[quota])}"
        for key, quota, shown in (
            ("bytes", "quota_bytes", size_text),
            ("events", "quota_events", lambda count: f"{count} events"),
        )
        if one[quota]
    ]
    return ", ".join(parts)
