"""The command line: arguments in, one sub-command's module called.

Nothing but the standard library is imported here, so that ``--help`` is quick and works without
the extras.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from whimbrel_aggregator import exits

__all__ = ["main"]

DEFAULT_CONFIG: Final = Path("/etc/whimbrel/aggregator.toml")
_EXTRA_MODULES: Final = frozenset(
    {"aiohttp", "aiomqtt", "cbor2", "lz4", "nacl", "prometheus_client", "psycopg", "rich"}
    | {"zstandard"}
)
_EXAMPLES: Final = """\
examples:
  whimbrel-aggregator keygen --out region.key
  whimbrel-aggregator run --config aggregator.toml
  whimbrel-aggregator devices add acme store-12 till-3 --key "$(cat till-3.pub)"
  whimbrel-aggregator events --store store-12 --since -2h --format table
  whimbrel-aggregator events --type 'pos.*' --follow
  whimbrel-aggregator verify --import sales-2026

"""


_RELATIVE = re.compile(r"-\d+[a-z]")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        command: Any = importlib.import_module(f"whimbrel_aggregator.commands.{options.module}")
        return int(command.run(options))
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRA_MODULES:
            raise
        print(
            f"whimbrel-aggregator: the package {exc.name} is missing: install "
            "whimbrel[aggregator], for example with: pip install 'whimbrel[aggregator]'",
            file=sys.stderr,
        )
        return exits.USAGE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # the reader of our output (head, less) has gone; that is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; a relative time such as ``-2h`` may follow its option as a word."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in ("--since", "--until") and _RELATIVE.fullmatch(word):
            joined[-1] += f"={word}"  # argparse would take the word for an option
        else:
            joined.append(word)
    return build_parser().parse_args(joined)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="whimbrel-aggregator",
        description="Commits the events of a region's stores once, and forwards them.",
        epilog=_EXAMPLES + exits.TABLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    adders = (
        *(_run, _events, _devices, _forwarders, _usage, _status, _verify, _backup, _restore),
        *(_salvage, _keygen),
    )
    for add in adders:
        add(commands)
    return parser


def _command(commands: Any, name: str, module: str, text: str, epilog: str = "") -> Any:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(module=module)
    return parser


def _config(parser: Any) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"the aggregator's configuration (default: {DEFAULT_CONFIG})",
    )


def _json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(commands: Any) -> None:
    parser = _command(
        commands,
        "run",
        "run",
        "run the aggregator until SIGTERM or Ctrl-C",
        "example:\n  whimbrel-aggregator run --config aggregator.toml\n\n"
        "Logs are JSON lines on stderr; 'aggregator is ready' names the API's address and the\n"
        "region's public key, which agents need as region_key.",
    )
    _config(parser)


def _events(commands: Any) -> None:
    parser = _command(
        commands,
        "events",
        "events",
        "print committed events, as CloudEvents or as a table",
        "examples:\n"
        "  whimbrel-aggregator events --tenant acme --store store-12 --since -2h\n"
        "  whimbrel-aggregator events --since 2026-11-22T06:00:00Z --until 2026-11-22T07:00:00Z\n"
        "  whimbrel-aggregator events --zone 'front*' --type 'pos.*' --follow --format table\n"
        "  whimbrel-aggregator events --limit 10 | python3 -m json.tool --json-lines\n\n"
        "Tenant, store, zone and type are patterns with * and ?. Times are RFC 3339, a UTC date,\n"
        "'now', or relative: -90s, -15m, -2h, -3d, -1w; they bound the time of the event.\n"
        "--follow begins with what is committed from now on, or with --since; it survives a\n"
        "restart of the aggregator without losing or repeating events.",
    )
    _config(parser)
    for name in ("tenant", "store", "zone", "type"):
        parser.add_argument(f"--{name}", metavar="PATTERN", help=f"only of this {name}")
    parser.add_argument("--since", metavar="TIME", help="events at or after it")
    parser.add_argument("--until", metavar="TIME", help="events before it")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after so many")
    parser.add_argument("--follow", action="store_true", help="go on with new ones")
    parser.add_argument(
        "--format", choices=("ndjson", "table"), default="ndjson", help="default: ndjson"
    )


def _devices(commands: Any) -> None:
    parser = _command(
        commands,
        "devices",
        "devices",
        "list, enrol and remove devices",
        "examples:\n"
        "  whimbrel-aggregator devices add acme store-12 till-3 --key "
        "'kZ2c...=' --label 'by the door'\n"
        "  whimbrel-aggregator devices list --tenant acme --json\n"
        "  whimbrel-aggregator devices list --strangers\n"
        "  whimbrel-aggregator devices remove acme store-12 till-3\n\n"
        "The key is what 'whimbrel-agent keygen' printed on the device. A removed device may no\n"
        "longer deliver; what it delivered stays, and is not taken twice when it comes back.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    listed = actions.add_parser("list", help="show enrolled devices")
    listed.add_argument("--tenant", help="only of this tenant")
    listed.add_argument("--store", help="only of this store")
    listed.add_argument("--removed", action="store_true", help="removed ones too")
    listed.add_argument(
        "--strangers",
        action="store_true",
        help="instead: devices that the running aggregator heard and that are not enrolled",
    )
    added = actions.add_parser("add", help="enrol a device with its public key")
    added.add_argument("--key", required=True, metavar="BASE64", help="its public key")
    added.add_argument("--label", default="", help="a note for people")
    added.add_argument("--replace", action="store_true", help="it has another key or label now")
    removed = actions.add_parser("remove", help="take a device's right to deliver")
    for action in (added, removed):
        for name in ("tenant", "store", "device"):
            action.add_argument(name)
    for action in (listed, added, removed):
        _config(action)
        _json(action)


def _forwarders(commands: Any) -> None:
    parser = _command(
        commands,
        "forwarders",
        "forwarders",
        "show forwarders, what they parked, and mend their cursors",
        "examples:\n"
        "  whimbrel-aggregator forwarders list\n"
        "  whimbrel-aggregator forwarders parked webhook --json\n"
        "  whimbrel-aggregator forwarders parked webhook --drop 17\n"
        "  whimbrel-aggregator forwarders rebind webhook\n"
        "  whimbrel-aggregator forwarders detach old-webhook\n\n"
        "parked: events that the receiver refused for good, with its answer and what was sent;\n"
        "  frames that nobody can read are parked under the name 'unreadable'.\n"
        "skipped: frames that a route passed on a lower rung of its ladder; they are in the journal,\n"
        "  and 'events --tenant T --store S --since SINCE --until UNTIL' prints them.\n"
        "rebind: after a restore, go on from where the backup stood. Events forwarded after the\n"
        "  backup was made may come again; a Postgres sink recognises them by their identity.\n"
        "detach: forget a forwarder's cursors; it no longer holds retention back. Configured\n"
        "  again, it begins anew.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    listed = actions.add_parser("list", help="show every forwarder's state")
    parked = actions.add_parser("parked", help="show or drop parked events")
    parked.add_argument("name", nargs="?", help="only of this forwarder")
    parked.add_argument("--drop", type=int, metavar="ID", help="forget this one for good")
    skipped = actions.add_parser("skipped", help="show or drop what was left out under load")
    skipped.add_argument("name", nargs="?", help="only of this forwarder")
    skipped.add_argument("--drop", type=int, metavar="ID", help="forget this run")
    rebind = actions.add_parser("rebind", help="accept the journal's present generation")
    detach = actions.add_parser("detach", help="forget a forwarder's cursors")
    for action in (rebind, detach):
        action.add_argument("name")
    for action in (listed, parked, skipped, rebind, detach):
        _config(action)
        _json(action)


def _usage(commands: Any) -> None:
    parser = _command(
        commands,
        "usage",
        "usage",
        "show what tenants, stores and devices delivered in a month",
        "examples:\n"
        "  whimbrel-aggregator usage --per tenant\n"
        "  whimbrel-aggregator usage --month 2026-10 --tenant acme --json\n\n"
        "Counts what was committed, by UTC calendar month, with the quota where there is one.",
    )
    parser.add_argument("--month", metavar="YYYY-MM", help="default: the present one")
    parser.add_argument(
        "--per", choices=("region", "tenant", "store", "device"), help="only of this kind"
    )
    parser.add_argument("--tenant", help="only of this tenant")
    _config(parser)
    _json(parser)


def _status(commands: Any) -> None:
    parser = _command(
        commands,
        "status",
        "status",
        "show the region's figures",
        "examples:\n  whimbrel-aggregator status\n  whimbrel-aggregator status --json",
    )
    _config(parser)
    _json(parser)


def _verify(commands: Any) -> None:
    parser = _command(
        commands,
        "verify",
        "verify",
        "recompute every checksum, digest and signature of the journal, or confirm an import",
        "examples:\n"
        "  whimbrel-aggregator verify\n"
        "  whimbrel-aggregator verify --import sales-2026\n"
        "  whimbrel-aggregator verify --import sales-2026 --count 541909 --digest 9f2c...\n\n"
        "It reads one snapshot, also while the aggregator runs. An import is confirmed when count\n"
        "and digest are those that 'whimbrel-agent import' printed.",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("--import", dest="import_id", metavar="ID", help="the import's name")
    parser.add_argument("--count", type=int, help="the count it must have")
    parser.add_argument("--digest", help="the digest it must have")
    parser.add_argument(
        "--journal", type=Path, help="this file instead of the configured one, such as a backup"
    )


def _backup(commands: Any) -> None:
    parser = _command(
        commands,
        "backup",
        "backup",
        "write a consistent copy of the journal, also while the aggregator runs",
        "example:\n  whimbrel-aggregator backup /backups/journal-2026-11-22.db",
    )
    parser.add_argument("target", type=Path, help="a file that does not exist yet")
    _config(parser)
    _json(parser)


def _restore(commands: Any) -> None:
    parser = _command(
        commands,
        "restore",
        "restore",
        "put a backup in the journal's place, as a new generation",
        "example:\n"
        "  systemctl stop whimbrel-aggregator\n"
        "  whimbrel-aggregator restore /backups/journal-2026-11-22.db --replace\n"
        "  systemctl start whimbrel-aggregator\n"
        "  whimbrel-aggregator forwarders rebind NAME\n\n"
        "Devices notice the new generation and send what the backup lacks again, as far as they\n"
        "still have it; the rest becomes gaps that say so.",
    )
    parser.add_argument("backup", type=Path, help="what 'backup' wrote")
    parser.add_argument(
        "--replace", action="store_true", help="keep the present journal aside as .replaced"
    )
    _config(parser)
    _json(parser)


def _salvage(commands: Any) -> None:
    parser = _command(
        commands,
        "salvage",
        "salvage",
        "make a new journal out of every intact frame of a damaged one",
        "examples:\n"
        "  whimbrel-aggregator salvage /var/lib/whimbrel/journal.db --out /tmp/salvaged.db\n"
        "  whimbrel-aggregator salvage /var/lib/whimbrel/journal.db --replace --devices list.json"
        "\n\n"
        "The aggregator must be stopped. Frames are carved out of the file and its log, whatever\n"
        "state its tree is in, and proven by their rows' checksums and their devices' signatures.\n"
        "The new journal is a new generation: devices send again what is missing and they still\n"
        "have, the rest becomes gaps that say so; forwarders wait for 'forwarders rebind'.\n"
        "Exit status 1 says that something was lost; the output says what.",
    )
    parser.add_argument("damaged", type=Path, help="the journal's file; its log lies beside it")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="FILE", help="write the new journal here")
    where.add_argument(
        "--replace",
        action="store_true",
        help="put it in the place of the damaged one, which is kept aside as .damaged-TIME",
    )
    parser.add_argument(
        "--devices",
        type=Path,
        metavar="FILE",
        help="what 'devices list --json' printed: for devices whose keys are damaged",
    )
    _json(parser)


def _keygen(commands: Any) -> None:
    parser = _command(
        commands,
        "keygen",
        "keygen",
        "make the region's key and print its public half",
        "examples:\n  whimbrel-aggregator keygen --out region.key\n"
        "  whimbrel-aggregator keygen --config aggregator.toml\n\n"
        "The printed public key is what agents need as region_key.",
    )
    _config(parser)
    _json(parser)
    parser.add_argument("--out", type=Path, help="the new key file (default: [region] key)")
