"""``whimbrel-agent run``."""

from __future__ import annotations

import argparse

from whimbrel_agent import exits
from whimbrel_agent.app import run_agent
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.logs import start_logs


def run(options: argparse.Namespace) -> int:
    """Run the agent until it is told to stop."""
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    start_logs()
    run_agent(config)
    return exits.DONE
