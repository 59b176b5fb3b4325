"""The command line: arguments in, one sub-command's module called.

Nothing but the standard library is imported here: ``--help`` works without the extras, and a
device that only runs the agent never loads the importer.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from whimbrel_agent import exits

__all__ = ["main"]

DEFAULT_CONFIG: Final = Path("/etc/whimbrel/agent.toml")

_EXTRA_MODULES: Final = frozenset(
    {"cbor2", "h11", "lz4", "nacl", "paho", "psutil", "zeroconf", "zstandard"}
)

_HELP_FORM: Final = partial(argparse.RawDescriptionHelpFormatter, width=78)
"""Fits every terminal: argparse would ask for its width with every argument it is told of, by way
of shutil, which loads three compression libraries (0.7 MB) into each running agent."""

_EXAMPLES: Final = """\
examples:
  whimbrel-agent keygen --out device.key
  whimbrel-agent run --config agent.toml
  whimbrel-agent status
  whimbrel-agent emit --type door.opened --source door-1 --zone front count:int=1
  whimbrel-agent import sales.csv --type pos.line --time-column InvoiceDate \\
      --time-format '%Y-%m-%d %H:%M:%S' --time-zone Europe/London

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    options = build_parser().parse_args(arguments)
    try:
        command: Any = importlib.import_module(f"whimbrel_agent.commands.{options.module}")
        return int(command.run(options))
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA_MODULES:
            raise
        print(
            f"whimbrel-agent: the package {exc.name} is missing: install whimbrel[agent], "
            "for example with: pip install 'whimbrel[agent]'",
            file=sys.stderr,
        )
        return exits.USAGE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # the reader of our output (head, less) has gone; that is its right
        sys.stderr.close()
        return exits.DONE


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="whimbrel-agent",
        description="Keeps a store's events safe on this device and brings them to the region.",
        epilog=_EXAMPLES + exits.TABLE,
        formatter_class=_HELP_FORM,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _run(commands)
    _status(commands)
    _explain(commands)
    _emit(commands)
    _import(commands)
    _buffer(commands)
    _drain(commands)
    _rules(commands)
    _raw(commands)
    _keygen(commands)
    _profile(commands)
    return parser


def _command(commands: Any, name: str, module: str, help_text: str, epilog: str) -> Any:
    parser = commands.add_parser(
        name,
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        epilog=epilog,
        formatter_class=_HELP_FORM,
    )
    parser.set_defaults(module=module)
    return parser


def _config(parser: Any) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the agent's configuration (default: {DEFAULT_CONFIG})",
    )


def _json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        "run",
        "run the agent until SIGTERM or Ctrl-C",
        "example:\n  whimbrel-agent run --config agent.toml\n\n"
        "Logs are JSON lines on stderr; the one with message 'ready' says that intakes take events.",
    )
    _config(parser)


def _status(commands: Any) -> None:
    parser = _command(
        commands,
        "status",
        "status",
        "show the running agent's figures",
        "examples:\n  whimbrel-agent status\n  whimbrel-agent status --json | python3 -m json.tool",
    )
    _config(parser)
    _json(parser)


def _explain(commands: Any) -> None:
    parser = _command(
        commands,
        "explain",
        "explain",
        "say what waits for what, and what the agent decided last, and why",
        "examples:\n  whimbrel-agent explain\n  whimbrel-agent explain --json | python3 -m json.tool"
        "\n\nJSON has all that each decision was made from: the same inputs give the same decision.",
    )
    _config(parser)
    _json(parser)


def _emit(commands: Any) -> None:
    parser = _command(
        commands,
        "emit",
        "emit",
        "hand events over: one from arguments, or many from standard input",
        "examples:\n"
        "  whimbrel-agent emit --type door.opened --source door-1 count:int=1 name=front\n"
        "  whimbrel-agent emit --type sale --source till-3 --id 4711 total:decimal=12.50\n"
        "  tail -f events.ndjson | whimbrel-agent emit --stdin\n\n"
        "A value is text unless its key names a kind (int, float, decimal, bool, json).\n"
        "Lines of --stdin have the form of POST /v1/events:\n"
        '  {"type": "door.opened", "source": "door-1", "data": {"count": 1}}\n'
        "They are accepted in slices of up to 500 lines, or every half second.\n"
        "Without a running agent the events go into its buffer directly.",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("--stdin", action="store_true", help="read events as NDJSON")
    parser.add_argument("--type", help="what kind of fact, such as door.opened")
    parser.add_argument("--source", help="what it came from, such as door-1")
    parser.add_argument("--subject", help="what it is about")
    parser.add_argument("--zone", help="part of the store")
    parser.add_argument("--lane", default="normal", help="critical, high, normal or bulk")
    parser.add_argument("--id", help="the event's own id: handed over again, it counts once")
    parser.add_argument("--time", help="RFC 3339 text; without it: now")
    parser.add_argument("data", nargs="*", metavar="KEY[:KIND]=VALUE", help="members of data")


def _import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        "bulk",
        "bring existing data over: a CSV or NDJSON file, or a table of a SQLite file",
        "examples:\n"
        "  whimbrel-agent import sales.csv --type pos.line --source till-3 \\\n"
        "      --time-column InvoiceDate --time-format '%Y-%m-%d %H:%M:%S' \\\n"
        "      --time-zone Europe/London --map sku=StockCode --map qty=Quantity:int\n"
        "  whimbrel-agent import old.db --table readings --type climate --time-column ts \\\n"
        "      --time-format unix-ms\n"
        "  whimbrel-agent import events.ndjson\n\n"
        "Interrupted, it goes on where it stopped when it is run again with the same arguments.\n"
        "At the end it prints a count and a digest; 'whimbrel-aggregator verify --import ID'\n"
        "prints the same two when every event has arrived, in order.",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("file", type=Path, help="the file to read; it is not changed")
    parser.add_argument(
        "--format", choices=("csv", "ndjson", "sqlite"), help="default: by the file's name"
    )
    parser.add_argument("--table", help="the table of a SQLite file")
    parser.add_argument("--delimiter", default=",", help="of a CSV file (default: ,)")
    parser.add_argument("--encoding", default="utf-8", help="of a CSV file (default: utf-8)")
    parser.add_argument("--id", help="the import's name (default: from file and mapping)")
    parser.add_argument(
        "--type", help="of every event; NDJSON lines without it are whole events as for emit"
    )
    parser.add_argument("--source", help="of every event (default: the import's id)")
    parser.add_argument("--zone", help="of every event")
    parser.add_argument("--lane", default="bulk", help="of every event (default: bulk)")
    for name in ("source", "subject", "zone", "time"):
        parser.add_argument(f"--{name}-column", metavar="COLUMN", help=f"gives every {name}")
    parser.add_argument(
        "--time-format",
        default="rfc3339",
        help="rfc3339 (default), unix, unix-ms, unix-us, unix-ns, or a strptime pattern",
    )
    parser.add_argument("--time-zone", help="where times without an offset are meant: Europe/Paris")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN[:KIND]",
        help="a member of data: kinds are text, int, float, decimal, bool, json "
        "(default: every column that is not used otherwise, as it is)",
    )
    parser.add_argument(
        "--infer", action="store_true", help="texts that are exactly a number become one"
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="a row that cannot become an event stops the import (default), or is counted",
    )


def _buffer(commands: Any) -> None:
    parser = _command(
        commands,
        "buffer",
        "bufferfile",
        "look at the buffer, check it, or take its events out",
        "examples:\n  whimbrel-agent buffer inspect\n  whimbrel-agent buffer verify --json\n"
        "  whimbrel-agent buffer export --format cbor --out events.cbor",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    for name, help_text in (
        ("inspect", "show lanes, ledger and the first pending frames"),
        ("verify", "recompute every checksum, digest, signature and the ledger"),
        ("export", "write every event that is still here"),
    ):
        action = actions.add_parser(name, help=help_text, formatter_class=_HELP_FORM)
        _config(action)
        if name != "export":
            _json(action)
    action.add_argument(
        "--format", choices=("ndjson", "cbor"), default="ndjson", help="cbor is exact"
    )
    action.add_argument("--out", type=Path, help="a new file (default: standard output)")


def _drain(commands: Any) -> None:
    parser = _command(
        commands,
        "drain",
        "drain",
        "seal everything and wait until the region has it",
        "example, before taking a device away:\n"
        "  systemctl stop till-software && whimbrel-agent drain --timeout 600",
    )
    _config(parser)
    _json(parser)
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="default: 60"
    )


def _rules(commands: Any) -> None:
    parser = _command(
        commands,
        "rules",
        "rules",
        "check edge aggregation rules, or try them on a file of events",
        "examples:\n  whimbrel-agent rules check\n"
        "  whimbrel-agent rules try readings.ndjson --config agent.toml\n"
        "  whimbrel-agent rules try readings.ndjson --out > sent.ndjson\n\n"
        "Lines of the file have the form of POST /v1/events. A trial needs only the [[rules]] of\n"
        "the configuration, and sends nothing.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    check = actions.add_parser("check", help="read the rules", formatter_class=_HELP_FORM)
    trial = actions.add_parser(
        "try", help="show what would be sent, and what is saved", formatter_class=_HELP_FORM
    )
    trial.add_argument("file", type=Path, help="events as NDJSON; - for standard input")
    trial.add_argument("--out", action="store_true", help="print what would be sent as NDJSON")
    for action in (check, trial):
        _config(action)
        _json(action)


def _raw(commands: Any) -> None:
    parser = _command(
        commands,
        "raw",
        "raw",
        "show raw events that rules with raw_days kept on this device",
        "example:\n  whimbrel-agent raw --source cold-1 --from 2026-11-22T09:00:00Z \\\n"
        "      --to 2026-11-22T10:00:00Z --json",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("--source", required=True, help="the events' source")
    parser.add_argument("--from", required=True, dest="begin", help="RFC 3339, included")
    parser.add_argument("--to", required=True, dest="end", help="RFC 3339, not included")


def _keygen(commands: Any) -> None:
    parser = _command(
        commands,
        "keygen",
        "keygen",
        "make the device's key and print its public half",
        "examples:\n  whimbrel-agent keygen --config agent.toml\n"
        "  whimbrel-agent keygen --out device.key\n\n"
        "The printed public key is what 'whimbrel-aggregator devices add' asks for.",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("--out", type=Path, help="the new key file (default: [device] key)")


def _profile(commands: Any) -> None:
    parser = _command(
        commands,
        "profile",
        "profile",
        "look at firmware profiles: what this hardware can bear, and what work costs on it",
        "examples:\n  whimbrel-agent profile detect\n  whimbrel-agent profile show pi-4\n"
        "  whimbrel-agent profile check my-board.toml\n"
        "  whimbrel-agent profile calibrate log.csv --base pi-4 --out my-board.toml",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    texts = {
        "detect": "say which shipped profile fits this board, and why",
        "show": "show a profile with the source of every figure (default: the detected one)",
        "check": "check a profile of your own",
        "calibrate": "fit a profile's energy constants to a power meter's log",
    }
    added = {
        name: actions.add_parser(name, help=text, formatter_class=_HELP_FORM)
        for name, text in texts.items()
    }
    for name, action in added.items():
        _json(action)
        if name != "check":
            root_help = "where proc lies (default: /)"
            action.add_argument(
                "--root", type=Path, default=Path("/"), metavar="FOLDER", help=root_help
            )
    added["show"].add_argument("profile", nargs="?", help="a name, or the path of a file")
    added["check"].add_argument("file", type=Path, help="the profile's TOML file")
    action = added["calibrate"]
    action.add_argument(
        "log", type=Path, help="CSV: time_s, watts, radio_wakes, bytes_up, cpu_s, bytes_written"
    )
    action.add_argument(
        "--base", help="the profile that gives all else (default: the detected one)"
    )
    action.add_argument("--out", type=Path, required=True, help="the new profile's file")
    action.add_argument(
        "--window",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="join readings to windows of so long, several of the radio's tails (default: 60)",
    )
