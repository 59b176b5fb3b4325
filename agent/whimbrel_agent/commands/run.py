"""``whimbrel-agent run``."""

from __future__ import annotations

import argparse

from whimbrel_agent import exits
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.logs import start_logs
from whimbrel_agent.memory import keep_small


def run(options: argparse.Namespace) -> int:
    """Run the agent until it is told to stop."""
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    keep_small()
    from whimbrel_agent.app import run_agent  # noqa: PLC0415  what it imports is kept small

    config = load_config(options.config)
    start_logs()
    run_agent(config)
    return exits.DONE
