"""``whimbrel-sim fleet``: many agents at a broker, and ``fleet clean`` to be rid of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .outlet import add_holders, guarded

LIGHT_ABOVE = 200
"""Above so many agents they share processes, unless told otherwise: each process of its own takes
some 35 MiB and most of a second of a core to start."""

DRAIN_S = 120.0
RATE_PER_AGENT = 0.2
"""Events a second of each agent, unless told otherwise: a till in a quiet hour."""

_EPILOG = f"""\
examples:
  whimbrel-sim fleet --local --stores 4 --devices 5 --duration 60
  whimbrel-sim fleet --stores 20 --devices 10 --broker mqtt://127.0.0.1:1883 \\
      --aggregator-config aggregator.toml --duration 600 --junit fleet.xml
  whimbrel-sim fleet --stores 200 --devices 10 --light --broker mqtt://broker.example:1883 \\
      --api https://region.example --token-file token.txt --region-key REGION_KEY
  whimbrel-sim fleet clean --folder fleet --aggregator-config aggregator.toml

Real agents with their own keys, buffers and connections send until --duration is over or Ctrl-C is
pressed (again: the drain ends, too); then all is drained and the senders' ledger is compared with the journal and every sink
that is named. The ledger stays in --folder: 'whimbrel-sim reconcile' compares again, after a crash
too, and the same folder given again goes on with the same fleet. Above {LIGHT_ABOVE} agents, or
with --light, many agents share a process.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "fleet",
        help="run many agents against a broker and an aggregator",
        description="Run many agents, drain them, and compare what they sent with what arrived.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_names(parser)
    _add_region(parser)
    _add_load(parser)
    add_holders(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the checks as JUnit XML")
    parser.set_defaults(action="run")
    _add_clean(parser.add_subparsers(title="actions", metavar="ACTION"))
    return parser


def _add_names(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who")
    group.add_argument(
        "--folder", type=Path, default=Path("fleet"),
        help="everything of the fleet lies here (default: ./fleet)",
    )  # fmt: skip
    group.add_argument("--stores", type=int, default=4, help="default: 4")
    group.add_argument("--devices", type=int, default=5, help="in each store (default: 5)")
    group.add_argument("--tenant", default="sim", help="of all of them (default: sim)")
    group.add_argument("--store-prefix", default="sim-", help="of stores' names (default: sim-)")
    group.add_argument("--device-prefix", default="dev-", help="of devices' names (default: dev-)")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--light", action="store_true", help="many agents in each process")
    form.add_argument("--processes", action="store_true", help="a process for each agent")


def _add_region(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where")
    group.add_argument("--local", action="store_true", help="start a broker and an aggregator, too")
    group.add_argument(
        "--broker", action="append", default=[], metavar="URL",
        help="where agents connect, such as mqtt://127.0.0.1:1883; may be given again",
    )  # fmt: skip
    group.add_argument("--username", help="the broker's user name")
    group.add_argument("--password-file", type=Path, metavar="FILE", help="with its password")
    group.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="authority of an mqtts:// broker"
    )
    group.add_argument(
        "--scenario", type=Path, metavar="FILE",
        help="put a bad network before the broker, as whimbrel-sim proxy plays it",
    )  # fmt: skip
    group.add_argument("--region", metavar="NAME", help="the region's name")
    group.add_argument("--region-key", metavar="KEY", help="its public key")
    group.add_argument("--api", metavar="URL", help="enrol over the aggregator's HTTP API there")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="its bearer token")


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how much")
    group.add_argument(
        "--rate", type=float, metavar="EVENTS",
        help=f"events a second, the whole fleet (default: {RATE_PER_AGENT:g} for each agent); "
        "of a store's day: the factor (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--workload", default="mix", choices=("mix", "ordinary", "black-friday"),
        help="mix: sales and readings at --rate (default); the others: each agent is one device "
        "of a store's day at its usual rate times --rate, by the hour in UTC",
    )  # fmt: skip
    group.add_argument("--burst", type=int, default=5, help="mean events in a post (default: 5)")
    group.add_argument(
        "--duration", type=float, metavar="SECONDS", help="how long to send (default: until Ctrl-C)"
    )
    group.add_argument(
        "--drain", type=float, default=DRAIN_S, metavar="SECONDS",
        help=f"how long the drain may take (default: {DRAIN_S:g})",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    group.add_argument("--keepalive", type=int, default=60, help="of MQTT, seconds (default: 60)")


def _add_clean(actions: Any) -> None:
    clean = actions.add_parser(
        "clean",
        help="stop what is left of a fleet, remove its devices and its folder",
        description="Stop what is left of a fleet, remove its devices and its folder.",
    )
    clean.add_argument("--folder", type=Path, default=Path("fleet"))
    clean.add_argument(
        "--aggregator-config", type=Path, metavar="FILE", help="remove devices there"
    )
    clean.add_argument("--api", metavar="URL", help="remove devices over this HTTP API")
    clean.add_argument("--token-file", type=Path, metavar="FILE", help="its bearer token")
    clean.add_argument("--keep-folder", action="store_true", help="leave ledger, keys and buffers")
    clean.set_defaults(action="clean")


def run(options: argparse.Namespace) -> int:
    """Run a fleet, or clean up after one."""
    if options.action == "clean":
        from whimbrel_sim.fleets.cleaning import clean  # noqa: PLC0415  --help is quick

        return guarded(lambda: clean(options))
    from whimbrel_sim.fleets.session import run_session  # noqa: PLC0415

    return guarded(lambda: run_session(options))
