"""What the commands share: failures as one line on stderr, and the choice of holders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from whimbrel_sim.fleets.holders import Holder

DONE: Final = 0
DISAGREES: Final = 1
USAGE: Final = 2


def guarded(work: Callable[[], int]) -> int:
    """Run a command's work and return its exit status; failures are told, not traced."""
    from whimbrel_protocol.errors import WhimbrelError  # noqa: PLC0415  --help is quick
    from whimbrel_sim.fleets.enrolment import EnrolmentError  # noqa: PLC0415
    from whimbrel_sim.fleets.faultfile import ScenarioError  # noqa: PLC0415
    from whimbrel_sim.fleets.holders import HolderError  # noqa: PLC0415
    from whimbrel_sim.fleets.ledgerfile import LedgerFileError  # noqa: PLC0415
    from whimbrel_sim.fleets.roster import RosterError  # noqa: PLC0415
    from whimbrel_sim.ledger import LedgerError  # noqa: PLC0415
    from whimbrel_sim.program import ProgramError  # noqa: PLC0415

    try:
        return work()
    except BrokenPipeError:
        raise  # the reader of our output has gone; the command line knows what to do
    except (
        EnrolmentError, ScenarioError, HolderError, LedgerFileError, RosterError, ProgramError,
        WhimbrelError, OSError,
    ) as error:  # fmt: skip
        print(f"whimbrel-sim: {error}", file=sys.stderr)
        return USAGE
    except LedgerError as error:
        print(f"whimbrel-sim: {error}", file=sys.stderr)
        return DISAGREES


def add_holders(parser: argparse.ArgumentParser) -> None:
    """Add the options that name journals and sinks."""
    group = parser.add_argument_group("what the ledger is compared with")
    group.add_argument("--journal", type=Path, metavar="FILE", help="the region's journal")
    group.add_argument("--files", type=Path, metavar="DIR", help="folder of a files forwarder")
    group.add_argument(
        "--postgres", type=Path, metavar="FILE", help="file with the DSN of a postgres forwarder"
    )
    group.add_argument(
        "--table",
        default="public.events_{tenant}",
        help="its schema and table (default: %(default)s)",
    )
    group.add_argument(
        "--webhook", type=Path, metavar="FILE",
        help="what a webhook's receiver wrote down: a line of JSON for each batch or event",
    )  # fmt: skip
    group.add_argument(
        "--aggregator-config", type=Path, metavar="FILE",
        help="takes journal, files and postgres from there",
    )  # fmt: skip


def holders_of(options: argparse.Namespace) -> list[Holder]:
    """Return what the options name."""
    from whimbrel_aggregator.secretfile import read_secret  # noqa: PLC0415
    from whimbrel_sim.fleets import holders  # noqa: PLC0415

    found: list[Holder] = []
    if options.journal:
        found.append(holders.JournalHolder(options.journal))
    if options.files:
        found.append(holders.FilesHolder(options.files))
    if options.postgres:
        schema, _, table = options.table.rpartition(".")
        dsn = read_secret(options.postgres)
        found.append(holders.PostgresHolder(dsn, schema or "public", table))
    if options.webhook:
        found.append(holders.WebhookHolder(options.webhook))
    if options.aggregator_config:
        found += configured_holders(options.aggregator_config)
    return found


def configured_holders(config_file: Path) -> list[Holder]:
    """Return the journal and the readable sinks of an aggregator's configuration."""
    from whimbrel_aggregator.config import FilesSinkConfig, PostgresSinkConfig  # noqa: PLC0415
    from whimbrel_aggregator.configfile import load_config  # noqa: PLC0415
    from whimbrel_aggregator.secretfile import read_secret  # noqa: PLC0415
    from whimbrel_sim.fleets import holders  # noqa: PLC0415

    config = load_config(config_file)
    found: list[Holder] = [holders.JournalHolder(config.journal.path)]
    for forward in config.forwards:
        match forward.sink:
            case FilesSinkConfig() as sink:
                found.append(holders.FilesHolder(sink.dir, forward.name))
            case PostgresSinkConfig() as sink:
                dsn = read_secret(sink.dsn_file)
                found.append(holders.PostgresHolder(dsn, sink.schema, sink.table, forward.name))
            case _:
                pass  # what a webhook's receiver holds only its owner can say
    return found
