"""``whimbrel-sim reconcile``: the senders' ledger against journals and sinks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .outlet import DISAGREES, DONE, USAGE, add_holders, guarded, holders_of

_EPILOG = """\
examples:
  whimbrel-sim reconcile fleet-1 --journal journal.db
  whimbrel-sim reconcile fleet-1 --aggregator-config aggregator.toml --wait 60
  whimbrel-sim reconcile fleet-1 --postgres dsn.txt --table public.events_acme --json

Events that were accepted and are missing, those that are there twice, and those out of order are
named by device, lane and number. A sink knows of no gaps: with the journal beside it, events that
are named as gaps there are not missing. Exit status 1 when something does not agree.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reconcile",
        help="compare a fleet's ledger with what a journal or a sink holds",
        description="Compare a fleet's ledger, event by event, with what was committed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="the folder that was given to whimbrel-sim fleet")
    add_holders(parser)
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS",
        help="as long as events are only missing, look again for so long (default: 0)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON; it names every event")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare, tell, and return whether it agrees."""
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    from whimbrel_sim.fleets.reckoning import reckon_until  # noqa: PLC0415  --help is quick

    holders = holders_of(options)
    if not holders:
        print(
            "whimbrel-sim: nothing to compare with; name --journal, --files, --postgres, "
            "--webhook or --aggregator-config",
            file=sys.stderr,
        )
        return USAGE
    found = reckon_until(options.folder, holders, wait_s=options.wait)
    if options.json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        print("\n".join(found.lines()))
    return DONE if found.agrees else DISAGREES
