"""``whimbrel-agent status``."""

from __future__ import annotations

import argparse
import json

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.localhttp.client import LocalClient
from whimbrel_agent.status import status_table


def run(options: argparse.Namespace) -> int:
    """Show the running agent's figures."""
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    with LocalClient(load_config(options.config).control.socket) as client:
        status = client.expect("GET", "/v1/status").json()
    print(json.dumps(status) if options.json else status_table(status))
    return exits.DONE
