"""``whimbrel-aggregator devices``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.access import ask_once, ask_pages
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.commands.tables import table
from whimbrel_aggregator.configfile import load_config


def run(options: argparse.Namespace) -> int:
    """List, enrol or remove devices."""
    actions = {"list": _list, "add": _add, "remove": _remove}
    return guarded(lambda: actions[options.action](options))


def _list(options: argparse.Namespace) -> int:
    if options.strangers:
        return _strangers(options)
    params = {"limit": "1000"}
    for name in ("tenant", "store"):
        if getattr(options, name) is not None:
            params[name] = getattr(options, name)
    if options.removed:
        params["removed"] = "true"
    devices = ask_pages(load_config(options.config), "/v1/devices", "devices", "after", params)
    if options.json:
        print(json.dumps({"devices": devices}))
    else:
        heads = ("TENANT", "STORE", "DEVICE", "KEY", "SEEN", "FORKS", "REMOVED", "LABEL")
        print(table(heads, map(_row, devices)))
    return exits.DONE


def _row(device: dict[str, Any]) -> tuple[object, ...]:
    return (
        device["tenant"],
        device["store"],
        device["device"],
        ",".join(device["public_keys"]),
        device["seen"],
        device["forks"],
        device["removed"],
        device["label"],
    )


def _strangers(options: argparse.Namespace) -> int:
    """Show devices that were heard and are not enrolled; only a running aggregator hears any."""
    heard = ask_once(load_config(options.config), "GET", "/v1/strangers")["strangers"]
    for name in ("tenant", "store"):
        wanted = getattr(options, name)
        heard = [one for one in heard if wanted in (None, one[name])]
    if options.json:
        print(json.dumps({"strangers": heard}))
    else:
        heads = ("TENANT", "STORE", "DEVICE", "KEY ID", "MESSAGES", "LAST HEARD", "WHY")
        fields = ("tenant", "store", "device", "key_id", "messages", "last_heard", "why")
        print(table(heads, [tuple(one[field] for field in fields) for one in heard]))
    return exits.DONE


def _add(options: argparse.Namespace) -> int:
    fields = {
        "tenant": options.tenant,
        "store": options.store,
        "device": options.device,
        "public_key": options.key.strip(),
        "label": options.label,
        "replace": options.replace,
    }
    device = ask_once(load_config(options.config), "POST", "/v1/devices", body=fields)
    _tell(options, device, "enrolled")
    return exits.DONE


def _remove(options: argparse.Namespace) -> int:
    path = f"/v1/devices/{options.tenant}/{options.store}/{options.device}"
    device = ask_once(load_config(options.config), "DELETE", path)
    _tell(options, device, "removed")
    return exits.DONE


def _tell(options: argparse.Namespace, device: dict[str, Any], what: str) -> None:
    if options.json:
        print(json.dumps(device))
    else:
        print(f"{device['tenant']}/{device['store']}/{device['device']} is {what}")
