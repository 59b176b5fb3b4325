"""``whimbrel-agent run``."""

# ruff: noqa: PLC0415  what is imported here, and when, is what a device's memory is spent on

from __future__ import annotations

import argparse

from whimbrel_agent import exits
from whimbrel_agent.memory import all_is_loaded, keep_small


def run(options: argparse.Namespace) -> int:
    """Run the agent until it is told to stop, or its battery is nearly empty."""
    keep_small(options.config)
    from whimbrel_agent.commands.failures import guarded

    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    from whimbrel_agent.app import run_agent
    from whimbrel_agent.configfile import load_config
    from whimbrel_agent.logs import start_logs

    all_is_loaded()
    config = load_config(options.config)
    start_logs()
    return exits.POWER if run_agent(config) else exits.DONE
