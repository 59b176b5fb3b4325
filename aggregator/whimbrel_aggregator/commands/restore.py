"""``whimbrel-aggregator restore``."""

from __future__ import annotations

import argparse
import json

from whimbrel_aggregator import exits
from whimbrel_aggregator.commands.failures import guarded
from whimbrel_aggregator.configfile import load_config
from whimbrel_aggregator.journal.backup import restore_backup


def run(options: argparse.Namespace) -> int:
    """Put a backup in the journal's place."""
    return guarded(lambda: _restore(options))


def _restore(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    restore_backup(options.backup, config.journal.path, replace=options.replace)
    if options.json:
        print(json.dumps({"journal": str(config.journal.path), "backup": str(options.backup)}))
    else:
        print(
            f"{config.journal.path} is restored; it becomes a new generation at the next start, "
            "then rebind the forwarders"
        )
    return exits.DONE
