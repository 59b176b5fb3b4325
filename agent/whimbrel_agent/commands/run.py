"""``whimbrel-agent run``."""

from __future__ import annotations

import argparse

from whimbrel_agent import exits
from whimbrel_agent.app import run_agent
from whimbrel_agent.commands.failures import guarded
from whimbrel_agent.configfile import load_config
from whimbrel_agent.logs import start_logs


def run(options: argparse.Namespace) -> int:
    """Run the agent until SIGTERM or Ctrl-C."""
    return guarded(lambda: _serve(options))


def _serve(options: argparse.Namespace) -> int:
    start_logs()
    run_agent(load_config(options.config))
    return exits.DONE
