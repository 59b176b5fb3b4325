"""The command line ``whimbrel-sim``: arguments in, one sub-command's module called.

To add a command, add its module to :data:`COMMANDS`. Such a module imports nothing heavy at its
top, so that ``--help`` is quick, and has

* ``add_parser(commands)``, which adds its parser to argparse's sub-parsers and returns it, and
* ``run(options)``, which does the work and returns the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS: Final = (
    "whimbrel_sim.worlds.command",
    "whimbrel_sim.fleets.commands.fleet",
    "whimbrel_sim.fleets.commands.proxy",
    "whimbrel_sim.fleets.commands.reconcile",
)
"""Every sub-command's module, in the order of the help."""

INTERRUPTED: Final = 130
"""The exit status after Ctrl-C, as shells have it."""

_EPILOG: Final = """\
examples:
  whimbrel-sim fleet --local --stores 4 --devices 5 --duration 60
  whimbrel-sim proxy --listen 127.0.0.1:1884 --to 127.0.0.1:1883 --scenario bad-day.toml
  whimbrel-sim reconcile fleet-1 --journal journal.db
  whimbrel-sim world smoke --seed 7

Exit status: 0 done and everything agrees, 1 it does not agree, 2 cannot be used like this,
130 interrupted.
"""


class Command(Protocol):
    """What a sub-command's module offers."""

    def add_parser(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> object:
        """Add the parser."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do the work."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.command.run(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output (head, less) has gone; that is its right
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="whimbrel-sim",
        description="Fleets, bad networks, reckonings and simulated worlds around real programs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = cast("Command", importlib.import_module(name))
        known = set(commands.choices)
        command.add_parser(commands)
        for fresh in set(commands.choices) - known:
            commands.choices[fresh].set_defaults(command=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
