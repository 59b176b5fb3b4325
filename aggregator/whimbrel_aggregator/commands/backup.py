"""``whimbrel-aggregator backup``."""

from __future__ import annotations

import argparse
import json

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.commands.tables import size_text
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.journal.backup import write_backup


def run(options: argparse.Namespace) -> int:
    """Write a consistent copy of the journal."""
    return guarded(lambda: _write(options))


def _write(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    write_backup(config.journal.path, options.target)
    size_bytes = options.target.stat().st_size
    if options.json:
        print(json.dumps({"backup": str(options.target), "size_bytes": size_bytes}))
    else:
        print(f"{options.target}: {size_text(size_bytes)}")
    return exits.DONE
