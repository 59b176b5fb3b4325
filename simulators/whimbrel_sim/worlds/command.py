"""``whimbrel-sim world``: run a simulated world, replay it line by line, or run very many."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

    from .outcome import Outcome
    from .running import Write

DONE: Final = 0
BROKEN: Final = 1
USAGE: Final = 2

_EPILOG: Final = """\
examples:
  whimbrel-sim world --list
  whimbrel-sim world --faults
  whimbrel-sim world smoke --seed 7
  whimbrel-sim world smoke --seed 7 --trace trace.txt
  whimbrel-sim world smoke --seeds 100..199 --jobs 2
  whimbrel-sim world mine.toml --seed 7 --shrink small.toml

A world runs the agents and aggregators that are shipped, on simulated clocks, cards, networks and
brokers, in one thread and in virtual time. The seed decides everything: the same program, scenario
and seed give the same timeline, and the same digest over it, wherever Python, SQLite and zstd are
the same. While it runs and when everything has drained, the events that producers offered are
compared with the regions' journals.

A scenario file says who is there ([fleet]), what they post ([[load]]) and what befalls them
([[fault]]); a number may be [low, high], and each seed then draws its own. --shrink looks for the
smallest scenario that still fails in the same way and writes it with every number fixed.

Exit status: 0 everything held, 1 something broke, 2 cannot be used like this.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "world",
        help="run simulated worlds: whole fleets and regions in virtual time",
        description="Run simulated worlds and check every promise in them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a name of --list, or a TOML file's path"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=int, metavar="N", help="run one world (default: 1)")
    which.add_argument("--seeds", type=_seeds, metavar="A..B", help="run many; N alone means 1..N")
    which.add_argument("--list", action="store_true", help="show the scenarios and end")
    which.add_argument("--faults", action="store_true", help="show the kinds of faults and end")
    parser.add_argument(
        "--jobs", type=at_least_one, default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--stop", action="store_true", help="with --seeds: end at the first failure"
    )
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="write every line: messages, answers, the log"
    )  # fmt: skip
    parser.add_argument(
        "--shrink", type=Path, metavar="FILE", help="write a smaller scenario that still fails"
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, and no timeline")
    return parser


def run(options: argparse.Namespace) -> int:
    """Do what was asked for, and return the exit status."""
    from whimbrel_protocol.errors import WhimbrelError  # noqa: PLC0415  --help is quick

    try:
        return _chosen(options)(options)
    except (WhimbrelError, OSError) as error:
        print(f"whimbrel-sim: {error}", file=sys.stderr)  # noqa: T201
        return USAGE


def _chosen(options: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    from .scenario import ScenarioError  # noqa: PLC0415

    if options.list or options.faults:
        return _show_list
    if options.scenario is None:
        raise ScenarioError("name a SCENARIO: a TOML file, or one that --list shows")
    if options.seeds is None:
        return _one if options.shrink is None else _shrink
    for name in ("trace", "shrink"):
        if getattr(options, name) is not None:
            raise ScenarioError(f"--{name} is for one world: give --seed N instead of --seeds")
    return _many


def _show_list(options: argparse.Namespace) -> int:
    from .faults import KINDS  # noqa: PLC0415
    from .scenario import load_scenario, names  # noqa: PLC0415
    from .telling import faults_table, scenarios_table  # noqa: PLC0415

    if not options.json:
        _console().print(scenarios_table() if options.list else faults_table())
    elif options.list:
        _print_json({name: " ".join(load_scenario(name).story.split()) for name in names()})
    else:
        _print_json(
            {
                name: {
                    "strikes": kind.targets,
                    "meaning": kind.meaning,
                    "settings": dict(kind.settings),
                }
                for name, kind in KINDS.items()
            }
        )
    return DONE


def _again_under_recorder(options: argparse.Namespace) -> int | None:
    """Do all of it in a child that records what is written, where the scenario needs that."""
    from whimbrel_sim.cards import preload  # noqa: PLC0415

    from .running import needs_recorder  # noqa: PLC0415

    if not needs_recorder(options.scenario):
        return None
    child = [sys.executable, "-m", "whimbrel_sim.cli", "world", options.scenario]
    child += ["--seed", str(_seed(options))]
    for name in ("trace", "shrink"):
        if getattr(options, name) is not None:
            child += [f"--{name}", str(getattr(options, name))]
    if options.json:
        child.append("--json")
    return subprocess.run(child, env=preload.environment(), check=False).returncode


def _one(options: argparse.Namespace) -> int:
    status = _again_under_recorder(options)
    if status is not None:
        return status
    from .running import run_named  # noqa: PLC0415
    from .telling import is_main, told, verdict  # noqa: PLC0415

    console = _console()
    with ExitStack() as stack:
        writers: list[Write] = []
        if not options.json:
            writers.append(lambda line: console.print(told(line)) if is_main(line) else None)
        if options.trace is not None:
            file = stack.enter_context(options.trace.open("w", encoding="utf-8"))
            writers.append(lambda line: print(line, file=file))

        def write(line: str) -> None:
            for one in writers:
                one(line)

        outcome = run_named(options.scenario, _seed(options), write if writers else None)
    if options.json:
        _print_json(outcome.to_json())
    else:
        console.print(verdict(outcome))
    return _status([outcome])


def _many(options: argparse.Namespace) -> int:
    from .outcome import digest_of, totals, worst_first  # noqa: PLC0415
    from .running import run_many  # noqa: PLC0415
    from .telling import outcomes_table, progress_bar, totals_table  # noqa: PLC0415

    outcomes: list[Outcome] = []
    running = run_many(options.scenario, options.seeds, jobs=options.jobs)
    with progress_bar(options.scenario, len(options.seeds)) as advance:
        for outcome in running:
            outcomes.append(outcome)
            advance(f"{sum(one.failed for one in outcomes)} failed")
            if options.stop and outcome.failed:
                break
    added = totals(outcomes)
    if options.json:
        _print_json(
            {
                "scenario": options.scenario,
                "totals": added.to_json(),
                "digest": digest_of(outcomes),
                "outcomes": [one.to_json() for one in worst_first(outcomes)],
            }
        )
    else:
        console = _console()
        console.print(outcomes_table(outcomes))
        console.print(totals_table(added))
        console.print(f"digest over all: {digest_of(outcomes)}")
    return _status(outcomes)


def _shrink(options: argparse.Namespace) -> int:
    status = _again_under_recorder(options)
    if status is not None:
        return status
    from .outcome import replay_of  # noqa: PLC0415
    from .scenario import load_scenario  # noqa: PLC0415
    from .shrinking import shrink  # noqa: PLC0415
    from .telling import progress_bar  # noqa: PLC0415

    with progress_bar("shrinking", None) as advance:
        shrunk = shrink(load_scenario(options.scenario), _seed(options), say=advance)
    options.shrink.write_text(shrunk.to_toml(), encoding="utf-8")
    replay = replay_of(str(options.shrink), _seed(options))
    kept = len(shrunk.scenario.faults)
    if options.json:
        _print_json(
            {"broken": shrunk.what, "faults": kept, "before": shrunk.before, "runs": shrunk.runs,
             "replay": replay}
        )  # fmt: skip
    else:
        console = _console()
        console.print(f"{shrunk.what} still breaks with {kept} of {shrunk.before} faults")
        console.print(f"replay: {replay}")
    return BROKEN


# ---------------------------------------------------------------------- small parts


def _seed(options: argparse.Namespace) -> int:
    return 1 if options.seed is None else int(options.seed)


def _status(outcomes: list[Outcome]) -> int:
    return BROKEN if any(one.failed for one in outcomes) else DONE


def _console() -> Console:
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, soft_wrap=True)


def _print_json(what: Any) -> None:
    print(json.dumps(what, indent=1))  # noqa: T201


def _seeds(text: str) -> range:
    """Read ``A..B`` or ``N``."""
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last) + 1) if dots else range(1, int(first) + 1)
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} is no seeds: say N, or A..B with A <= B")
    return seeds


def at_least_one(text: str) -> int:
    """Read a whole number that is not 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return int(text)
