"""``whimbrel-agent explain``."""

from __future__ import annotations

import argparse
import json

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.decisions.explaintext import explain_text
from whimbrel_agent.localhttp.client import LocalClient


def run(options: argparse.Namespace) -> int:
    """Say what waits for what, and what was decided last."""
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    with LocalClient(load_config(options.config).control.socket) as client:
        told = client.expect("GET", "/v1/explain").json()
    print(json.dumps(told) if options.json else explain_text(told))
    return exits.DONE
