"""``whimbrel-aggregator status``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.access import ask_once
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.commands.tables import facts_table, size_text, table
from whimbrel_aggregator.configfile import load_config


def run(options: argparse.Namespace) -> int:
    """Show the region's figures."""
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    status = ask_once(load_config(options.config), "GET", "/v1/status")
    print(json.dumps(status) if options.json else status_text(status))
    return exits.DONE


def status_text(status: dict[str, Any]) -> str:
    """Return a status as text for people."""
    journal = status["journal"]
    used = f"{size_text(journal['used_bytes'])} of {size_text(journal['max_bytes'])}"
    parts = [
        facts_table(
            [
                ("region", status["region"]),
                ("ready", "yes" if status["ready"] else f"no: {status['reason']}"),
                ("generation", status["generation"]),
                ("journal", f"{used}{', full: ' + journal['full'] if journal['full'] else ''}"),
                ("credit", credit_text(status["flow"])),
                ("disk free", size_text(journal["disk_free_bytes"])),
                ("partitions", status["partitions"]),
                ("frames kept", status["frames"]),
                ("devices", status["devices"]),
                ("unreadable", f"{status['unreadable_frames']} frames"),
            ]
        )
    ]
    holding = list(status["flow"]["holding"].items())
    if holding:
        parts.append(table(("HOLDS DEVICES BACK", "WHY"), holding))
    counted = [(kind, count) for kind, count in status["ingest"].items() if count]
    if counted:
        parts.append(facts_table(counted))
    if status["forwarders"]:
        rows = [
            (one["name"], one["state"], one["delivered"], one["lag_frames"], one["reason"])
            for one in status["forwarders"]
        ]
        parts.append(table(("FORWARDER", "STATE", "DELIVERED", "LAG", "REASON"), rows))
    return "\n\n".join(parts)


def credit_text(flow: dict[str, Any]) -> str:
    """Return what a device may have in flight, with the reason, and how a return goes."""
    text = f"{size_text(flow['credit_bytes'])} a device"
    if flow["reason"]:
        text += f": {flow['reason']}"
    back = flow["returning"]
    if back["waiting"]:
        text += f"; {back['waiting']} devices start within {back['last_start_s']:.0f} s"
    return text
