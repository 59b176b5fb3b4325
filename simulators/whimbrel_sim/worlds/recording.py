"""``scripts/worlds``: runs very many worlds, slice by slice, and keeps a record of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from whimbrel_protocol.errors import WhimbrelError

from .command import BROKEN, DONE, USAGE, at_least_one
from .outcome import replay_of
from .recordpage import as_markdown
from .running import run_many, run_named
from .scenario import ScenarioError, load_scenario
from .slices import WORLDS, Record, Slice, slice_of
from .telling import progress_bar
from .version import commit, program_version

SLICE_SEEDS: Final = 250
"""Two to three minutes of one core: so much is lost when a session ends in the middle."""

_EPILOG: Final = """\
examples:
  scripts/worlds --scenario smoke --seeds 50000 --jobs 2
  scripts/worlds --scenario smoke --scenario cloned-card --seeds 1000 --slices 4
  scripts/worlds --check 3

Each finished slice is added to the record at once. Slices that are there already for this program
(a digest over the sources that decide a world) are skipped, so that a run of any size can be
stopped and gone on with. The page beside the record is written anew each time.

Exit status: 0 everything held, 1 something broke or the record does not add up, 2 cannot be used
like this.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        record = Record(options.record)
        work = _checked if options.check is not None else _run
        found, status = work(record, options)
    except WhimbrelError as error:
        _print(f"scripts/worlds: {error}", error=True)
        return USAGE
    except KeyboardInterrupt:
        _print("scripts/worlds: stopped; finished slices are in the record", error=True)
        return 130
    if options.json:
        _print(json.dumps(found, indent=1))
    return status


def _run(record: Record, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    fresh = list[Slice]()
    work = _work_left(record, options)
    with progress_bar("worlds", sum(len(seeds) for _, seeds in work)) as advance:
        for scenario, seeds in work:
            done = _one_slice(scenario, seeds, options.jobs, advance)
            record.append(done)
            _write_page(record)
            fresh.append(done)
            if not options.json:
                _print(f"{done}: {len(done.failures)} failed, digest {done.digest[:12]}")
    if not options.json:
        for kind, sums in record.totals.items():
            _print(f"{kind} so far: {sums['count']:,.0f} runs, {sums['failed']:,.0f} failed")
    failures = [(one.of, seed, broken) for one in fresh for seed, broken in one.failures]
    for scenario, seed, broken in failures:
        _print(f"{', '.join(broken)} broke; replay: {replay_of(scenario, seed)}", error=True)
    return {"slices": len(fresh), "totals": record.totals}, BROKEN if failures else DONE


def _work_left(record: Record, options: argparse.Namespace) -> list[tuple[str, range]]:
    """Return the slices that the record does not have yet."""
    work = []
    for scenario in options.scenario or ["smoke"]:
        series = (WORLDS, scenario, _program_of(scenario))
        for first in range(1, options.seeds + 1, options.slice):
            seeds = range(first, min(first + options.slice, options.seeds + 1))
            if not record.has(series=series, seeds=seeds):
                work.append((scenario, seeds))
    return work[: options.slices]


def _program_of(scenario: str) -> str:
    return program_version(load_scenario(scenario))


def _one_slice(scenario: str, seeds: range, jobs: int, advance: Callable[[str], None]) -> Slice:
    outcomes = []
    for outcome in run_many(scenario, seeds, jobs=jobs):
        outcomes.append(outcome)
        advance(f"{scenario} {seeds[0]}..{seeds[-1]}")
    return slice_of(outcomes, program=_program_of(scenario), commit=commit())


def _write_page(record: Record) -> None:
    record.path.with_suffix(".md").write_text(as_markdown(record.slices), encoding="utf-8")


def _checked(record: Record, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Add up again, and run some seeds once more; they must give what is recorded."""
    problems = record.problems()
    page = record.path.with_suffix(".md")
    if record.slices and (
        not page.exists() or page.read_text("utf-8") != as_markdown(record.slices)
    ):
        problems.append(f"{page.name} is not what the record says")
    own = [one for one in record.slices if _can_be_replayed(one)]
    replayed = []
    random = Random(options.pick)
    for _ in range(options.check if own else 0):
        part = random.choice(own)
        seed = random.choice(part.seeds)
        digest = run_named(part.of, seed).digest
        replayed.append({"scenario": part.of, "seed": seed, "digest": digest})
        if not digest.startswith(part.mark_of(seed)):
            problems.append(f"{part.of} {seed} gave {digest}, recorded {part.mark_of(seed)}...")
    if not options.json:
        _print(f"{len(record.slices)} slices, {len(replayed)} seeds replayed")
        if not own:
            _print("no slice is of this program: nothing to replay")
        for problem in problems:
            _print(f"wrong: {problem}")
    return {"problems": problems, "replayed": replayed}, BROKEN if problems else DONE


def _can_be_replayed(one: Slice) -> bool:
    """Whether a slice is of this very program, and its scenario still there."""
    try:
        return one.kind == WORLDS and one.program == _program_of(one.of)
    except ScenarioError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/worlds",
        description="Run very many simulated worlds, slice by slice, and keep a record.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scenario", action="append", metavar="NAME", help="again for another one (default: smoke)"
    )
    parser.add_argument(
        "--seeds", type=at_least_one, default=1000, metavar="N", help="1..N of each (default: 1000)"
    )
    parser.add_argument(
        "--slice", type=at_least_one, default=SLICE_SEEDS, metavar="N",
        help=f"seeds in a slice (default: {SLICE_SEEDS})",
    )  # fmt: skip
    parser.add_argument(
        "--slices", type=at_least_one, metavar="N", help="end after so many new slices"
    )
    parser.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="processes")
    parser.add_argument(
        "--record", type=Path, default=Path("simulators/world-record.json"), metavar="FILE",
        help="the record (default: simulators/world-record.json)",
    )  # fmt: skip
    parser.add_argument(
        "--check", type=int, metavar="N", help="run nothing new: add up, and replay N seeds"
    )
    parser.add_argument(
        "--pick", default="", metavar="TEXT", help="with --check: chooses which seeds"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _print(text: str, *, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
