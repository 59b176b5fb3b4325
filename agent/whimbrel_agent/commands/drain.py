"""``whimbrel-agent drain``."""

from __future__ import annotations

import argparse
import json

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.localhttp.client import LocalClient

ANSWER_SLACK_S = 30.0
"""The agent answers at its own deadline; this much later something is wrong with it."""


def run(options: argparse.Namespace) -> int:
    """Seal everything and wait until the region has settled it."""
    return guarded(lambda: _drain(options))


def _drain(options: argparse.Namespace) -> int:
    path = load_config(options.config).control.socket
    with LocalClient(path, timeout_s=options.timeout + ANSWER_SLACK_S) as client:
        answer = client.expect("POST", f"/v1/drain?timeout_s={options.timeout}").json()
    if options.json:
        print(json.dumps(answer))
    elif answer["drained"]:
        print("drained: nothing is pending")
    else:
        print(f"not drained: {answer['pending']} events are pending after {options.timeout:g} s")
    return exits.DONE if answer["drained"] else exits.REFUSED
