"""``whimbrel-aggregator forwarders``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.access import ask_once, ask_pages
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.commands.tables import size_text, table
from whimbrel_aggregator.configfile import load_config


def run(options: argparse.Namespace) -> int:
    """Show forwarders and what they parked; rebind or detach one."""
    actions = {
        "list": _list,
        "parked": _parked,
        "skipped": _skipped,
        "rebind": _rebind,
        "detach": _detach,
    }
    return guarded(lambda: actions[options.action](options))


def _list(options: argparse.Namespace) -> int:
    answer = ask_once(load_config(options.config), "GET", "/v1/forwarders")
    if options.json:
        print(json.dumps(answer))
        return exits.DONE
    rows = [
        (
            one["name"],
            one["state"],
            one["guarantee"],
            one["delivered"],
            one["parked"],
            one["retries"],
            one["lag_frames"],
            None if one["lag_bytes"] is None else size_text(one["lag_bytes"]),
            breaker_text(one),
            rung_text(one),
            one["reason"] or one["rung_reason"],
        )
        for one in answer["forwarders"]
    ]
    heads = ("NAME", "STATE", "GUARANTEE", "DELIVERED", "PARKED", "RETRIES", "LAG", "BEHIND")
    print(table((*heads, "BREAKER", "RUNG", "REASON"), rows))
    return exits.DONE


def breaker_text(forwarder: Mapping[str, Any]) -> str:
    """Return the state of a sink's breaker, and when the next probe goes."""
    state = str(forwarder["breaker"] or "")
    return f"{state}, probe in {forwarder['retry_in_s']:.0f} s" if state == "open" else state


def rung_text(forwarder: Mapping[str, Any]) -> str | None:
    """Return where a route stands on its ladder, and whether devices are asked to thin too."""
    rung: str | None = forwarder["rung"]
    return rung if forwarder["asked_of_devices"] == "full" else f"{rung}, devices too"


def _parked(options: argparse.Namespace) -> int:
    heads = {
        "ID": "id", "FORWARDER": "forwarder", "PARKED": "parked", "EVENT": "event_id",
        "ANSWER": "reason",
    }  # fmt: skip
    return _kept(options, "parked", heads, what="parked event")


def _skipped(options: argparse.Namespace) -> int:
    keys = ("id", "forwarder", "rung", "tenant", "store", "frames", "events", "since", "until")
    return _kept(options, "skipped", {key.upper(): key for key in keys}, what="run")


def _kept(options: argparse.Namespace, name: str, heads: Mapping[str, str], *, what: str) -> int:
    """Show what forwarders have put aside under a name of the API, or drop one of it."""
    config = load_config(options.config)
    if options.drop is not None:
        answer = ask_once(config, "DELETE", f"/v1/{name}/{options.drop}")
        print(json.dumps(answer) if options.json else f"{what} {options.drop} is dropped")
        return exits.DONE
    params = {"limit": "500"}
    if options.name is not None:
        params["forwarder"] = options.name
    found = ask_pages(config, f"/v1/{name}", name, "after", params)
    if options.json:
        print(json.dumps({name: found}))
        return exits.DONE
    print(table(tuple(heads), [tuple(one[key] for key in heads.values()) for one in found]))
    return exits.DONE


def _rebind(options: argparse.Namespace) -> int:
    path = f"/v1/forwarders/{quote(options.name, safe='')}/rebind"
    answer = ask_once(load_config(options.config), "POST", path)
    text = f"{options.name} is bound to the journal's present generation"
    print(json.dumps(answer) if options.json else text)
    return exits.DONE


def _detach(options: argparse.Namespace) -> int:
    path = f"/v1/forwarders/{quote(options.name, safe='')}"
    answer = ask_once(load_config(options.config), "DELETE", path)
    text = f"{options.name} is detached: it no longer holds retention back"
    print(json.dumps(answer) if options.json else text)
    return exits.DONE
