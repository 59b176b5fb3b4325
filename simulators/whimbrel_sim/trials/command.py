"""``scripts/flow-trial``: flow and power from the command line, with the servers of the tests."""

from __future__ import annotations

import asyncio
import json
import subprocess
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from whimbrel_sim.fleets.trial import Database
from whimbrel_sim.sabotage import FLOW_SABOTAGES, Sabotage
from whimbrel_sim.world import Broker

from . import power, quota, sinkplan
from .lines import Line, PartReport, part_from_json, table
from .planted import PARTS, PLANTED
from .power import run_power
from .quota import run_quota
from .sink import run_sink

LINK_TIMEOUT_S: Final = 900.0

_EPILOG = """\
parts:
  power  a real agent on a simulated power supply, from 80 % on mains to 15 % on battery and back: radio
         sessions and wake-ups, critical and bulk, and 1,000 readings that cannot be true (12 min)
  link   scripts/link-trial: a 2 Mbit/s link between two network namespaces; skipped where none
         may be made (2 min)
  sink   a PostgreSQL throttled to a tenth, then one that hangs: credit, spool, drain, breaker (8 min)
  quota  a tenant at ten times its rate beside another one; counters over restarts (6 min)

Each prints its lines: whether the promise held, and the figures. Lines with a time in them are fair
only on a machine that has nothing else to do.

examples:
  scripts/flow-trial                                        # all parts
  scripts/flow-trial sink quota --json flow.json
  scripts/flow-trial power --brief                          # shorter, for a look
  scripts/flow-trial --brief --sabotage credit-ignored      # must end with 1, and name the line
"""


def main(
    broker_of: Callable[[Path], Broker],
    database_of: Callable[[], Database],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run the parts; the exit status is 1 when a line did not hold."""
    options = _parser().parse_args(arguments)
    reports: list[PartReport] = []
    with TemporaryDirectory(prefix="whimbrel-flow-") as place:
        folder = Path(options.keep) if options.keep else Path(place)
        for part in _parts(options):
            report = _run(part, options, broker_of, database_of, folder / part)
            reports.append(report)
            _say(table(report))
    if options.json:
        document = {
            "seed": options.seed, "sabotage": options.sabotage, "brief": options.brief,
            "parts": [report.to_json() for report in reports],
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(report.passed for report in reports) else 1


def _parts(options: Namespace) -> Sequence[str]:
    if options.parts:
        return tuple(options.parts)
    return PARTS if options.sabotage is None else (PLANTED[options.sabotage][0],)


def _run(
    part: str,
    options: Namespace,
    broker_of: Callable[[Path], Broker],
    database_of: Callable[[], Database],
    folder: Path,
) -> PartReport:
    if part == "link":
        return run_link(options.sabotage)
    folder.mkdir(parents=True, exist_ok=True)
    sabotage: Sabotage | None = FLOW_SABOTAGES.get(options.sabotage)
    seed, brief, broker = options.seed, options.brief, broker_of(folder / "broker")
    if part == "power":
        plan = power.BRIEF if brief else power.PowerPlan()
        return asyncio.run(run_power(plan, broker, folder, seed=seed, sabotage=sabotage, say=_say))
    if part == "quota":
        rates = quota.BRIEF if brief else quota.QuotaPlan()
        return asyncio.run(run_quota(rates, broker, folder, seed=seed, sabotage=sabotage, say=_say))
    database = database_of()
    try:
        hard = sinkplan.BRIEF if brief else sinkplan.SinkPlan()
        return asyncio.run(
            run_sink(hard, broker, database, folder, seed=seed, sabotage=sabotage, say=_say)
        )
    finally:
        database.remove()


def run_link(sabotage: str | None, script: str = "scripts/link-trial") -> PartReport:
    """Run the link's own script and return what it wrote."""
    with TemporaryDirectory(prefix="whimbrel-link-") as place:
        found = Path(place) / "link.json"
        planted = [] if sabotage is None else ["--sabotage", sabotage]
        done = subprocess.run(
            [script, "--json", str(found), *planted], timeout=LINK_TIMEOUT_S, check=False,
        )  # fmt: skip
        if not found.exists():
            why = f"{script} ended with {done.returncode} and wrote nothing"
            return PartReport(part="link", lines=(Line("the trial comes to its end", False, why),))
        return part_from_json(json.loads(found.read_text()))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a command's output


def _part(text: str) -> str:
    if text not in PARTS:
        raise ArgumentTypeError(f"{text!r:.40} is no part; choose from {', '.join(PARTS)}")
    return text


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="scripts/flow-trial",
        description="Flow and power with real processes: what is sent when, and what pushes back.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", type=_part, metavar="PART", help=f"of {', '.join(PARTS)}; default: all"
    )
    parser.add_argument("--brief", action="store_true", help="shorter; figures mean less")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--sabotage", choices=sorted(FLOW_SABOTAGES),
        help="plant a fault; runs the part that must find it, and must end in 1",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--keep", metavar="FOLDER", help="run in this folder and leave it")
    return parser
