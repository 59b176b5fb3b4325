"""``scripts/fleet-trial``: the trial from the command line, with the servers of the tests."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from whimbrel_sim.sabotage import SABOTAGES
from whimbrel_sim.world import Broker

from .junit import write_junit
from .running import Report
from .trial import ROUGH, Database, Trial, run_trial

RATE_PER_AGENT: Final = 0.25
KILL_EVERY_S: Final = 3.0
LIGHT_KILL_EVERY_S: Final = 12.0
"""A killed process with five hundred agents needs most of this to be there again."""

_EPILOG = """\
examples:
  scripts/fleet-trial --agents 200 --minutes 10
  scripts/fleet-trial --agents 2000 --minutes 5 --light
  scripts/fleet-trial --agents 20 --minutes 0.5 --light --sabotage dedup-off   # must end with 1
"""


def main(
    broker_of: Callable[[Path], Broker],
    database_of: Callable[[], Database],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a trial; the exit status is 1 when something is missing, doubled or out of order."""
    options = _parser().parse_args(arguments)
    with TemporaryDirectory(prefix="whimbrel-trial-") as place:
        folder = Path(options.keep) if options.keep else Path(place)
        database = database_of()
        try:
            report = asyncio.run(
                run_trial(_trial(options), broker_of(folder / "broker"), database, folder, _say)
            )
        finally:
            database.remove()
    _tell(report)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    if options.junit:
        write_junit(report, options.junit, suite="fleet-trial")
    return 0 if report.agrees else 1


def _trial(options: Namespace) -> Trial:
    kill_every_s = LIGHT_KILL_EVERY_S if options.light else KILL_EVERY_S
    return Trial(
        agents=options.agents,
        light=options.light,
        duration_s=options.minutes * 60,
        kill_every_s=options.kill_every or kill_every_s,
        events_per_s=options.rate or RATE_PER_AGENT * options.agents,
        seed=options.seed,
        sabotage=None if options.sabotage is None else SABOTAGES[options.sabotage],
        drain_s=options.drain,
        forward_s=options.forward,
        scenario=options.scenario,
    )


def _tell(report: Report) -> None:
    extra = report.extra
    _say(f"kills: {extra['kills']}")
    _say(f"network: {extra['network']}")
    _say(f"{report.most_up} of {len(report.plan.roster)} agents were up at one time")
    if report.reckoning is not None:
        for line in report.reckoning.lines():
            _say(line)
    for name, wrong in report.checks().items():
        if wrong:
            _say(f"NOT SO: {name}: {wrong}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a command's output


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="scripts/fleet-trial",
        description="A fleet over a rough link, with kills on the way, reckoned with PostgreSQL.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agents", type=int, default=200, help="default: 200")
    parser.add_argument("--light", action="store_true", help="many agents in each process")
    parser.add_argument("--minutes", type=float, default=10.0, help="of sending (default: 10)")
    parser.add_argument("--rate", type=float, help="events a second (default: 0.25 for each agent)")
    parser.add_argument("--kill-every", type=float, metavar="SECONDS", help="mean, between kills")
    parser.add_argument(
        "--drain", type=float, default=400.0, metavar="SECONDS", help="at most (default: 400)"
    )
    parser.add_argument(
        "--forward", type=float, default=60.0, metavar="SECONDS",
        help="how long journal and database may take after the last receipt (default: 60)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", type=Path, default=ROUGH, help="of the agents' network")
    parser.add_argument(
        "--sabotage", choices=sorted(SABOTAGES), help="plant a fault; must end in 1"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the checks as JUnit XML")
    parser.add_argument("--keep", metavar="FOLDER", help="run in this folder and leave it")
    return parser
