"""``scripts/soak worlds|images|check``: very many runs, slice by slice, with a record of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from whimbrel_protocol.errors import WhimbrelError
from whimbrel_sim.cards.examining import Finding
from whimbrel_sim.cards.preload import PreloadError
from whimbrel_sim.cards.sweep import PARTS, Sweep, SweepError, counts_of
from whimbrel_sim.worlds.command import BROKEN, DONE, USAGE, at_least_one
from whimbrel_sim.worlds.outcome import replay_of
from whimbrel_sim.worlds.running import run_many, run_named
from whimbrel_sim.worlds.scenario import ScenarioError, load_scenario
from whimbrel_sim.worlds.telling import progress_bar

from .making import image_slice, world_slice
from .page import as_markdown
from .slices import IMAGES, WORLDS, Record, Slice
from .version import commit, program_version

SLICE_SEEDS: Final = 250
"""Two to three minutes of one core: so much is lost when a session ends in the middle."""

SWEEP_IMAGES: Final = 2_000
"""As many as the tests look at; each sweep has a workload of its own."""

Advance = Callable[[str], None]
Work = Callable[[Record, argparse.Namespace], tuple[dict[str, Any], int]]

_EPILOG: Final = """\
examples:
  scripts/soak worlds --seeds 50000 --jobs 2
  scripts/soak worlds --scenario smoke --scenario cloned-card --seeds 1000 --slices 4
  scripts/soak images --images 50000 --jobs 2
  scripts/soak check 3

Each finished slice is added to the record at once. Slices that are there already for this program
(a digest over the sources that decide a run) are skipped, so that a run of any size can be
stopped and gone on with. The page beside the record is written anew each time.

Exit status: 0 everything held, 1 something broke or the record does not add up, 2 cannot be used
like this.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line, and return the exit status."""
    options = _parser().parse_args(arguments)
    work: Work = options.work
    try:
        found, status = work(Record(options.record), options)
    except (WhimbrelError, PreloadError, SweepError) as error:
        _print(f"scripts/soak: {error}", error=True)
        return USAGE
    except KeyboardInterrupt:
        _print("scripts/soak: stopped; finished slices are in the record", error=True)
        return 130
    if options.json:
        _print(json.dumps(found, indent=1))
    return status


# ---------------------------------------------------------------------- worlds


def _worlds(record: Record, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    work = _worlds_left(record, options)
    with progress_bar("worlds", sum(len(seeds) for _, seeds in work)) as advance:
        fresh = _kept(record, options, _world_slices(work, options.jobs, advance))
    failures = [(one.of, seed, broken) for one in fresh for seed, broken in one.failures]
    for scenario, seed, broken in failures:
        _print(f"{', '.join(broken)} broke; replay: {replay_of(scenario, seed)}", error=True)
    return _summary(record, fresh)


def _worlds_left(record: Record, options: argparse.Namespace) -> list[tuple[str, range]]:
    """Return the slices that the record does not have yet."""
    work = []
    for scenario in options.scenario or ["smoke"]:
        series = (WORLDS, scenario, _program_of(scenario))
        for first in range(options.first, options.seeds + 1, options.slice):
            seeds = range(first, min(first + options.slice, options.seeds + 1))
            if not record.has(series=series, seeds=seeds):
                work.append((scenario, seeds))
    return work[: options.slices]


def _program_of(scenario: str) -> str:
    return program_version(load_scenario(scenario))


def _world_slices(
    work: Sequence[tuple[str, range]], jobs: int, advance: Advance
) -> Iterator[Slice]:
    for scenario, seeds in work:
        outcomes = []
        for outcome in run_many(scenario, seeds, jobs=jobs):
            outcomes.append(outcome)
            advance(f"{scenario} {seeds[0]}..{seeds[-1]}")
        yield world_slice(outcomes, program=_program_of(scenario), commit=commit())


# ---------------------------------------------------------------------- images


def _images(record: Record, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    size, program = options.sweep, program_version(IMAGES)
    work = []
    for seed in range(options.first, options.first - (-options.images // size)):
        images = range((seed - 1) * size + 1, seed * size + 1)
        if not record.has(series=(IMAGES, "buffer and journal", program), seeds=images):
            work.append(seed)
    work = work[: options.slices]
    with progress_bar("images", len(work) * size) as advance:
        fresh = _kept(record, options, _image_slices(work, size, options.jobs, advance))
    for one in fresh:
        for image, (part, crash) in one.failures:
            seed = (one.first - 1) // size + 1
            again = f"python -m whimbrel_sim.cards --seed {seed} --part {part} --image {image}"
            _print(f"{part} broke after {crash}; replay: {again}", error=True)
    return _summary(record, fresh)


def _image_slices(seeds: Sequence[int], size: int, jobs: int, advance: Advance) -> Iterator[Slice]:
    for seed in seeds:

        def on_finding(finding: Finding, seed: int = seed) -> None:
            advance(f"sweep {seed}, {finding.part}")

        sweep = Sweep(seed=seed, counts=counts_of(size, PARTS), jobs=jobs)
        yield image_slice(
            sweep.run(on_finding),
            seed=seed, size=size, program=program_version(IMAGES), commit=commit(),
        )  # fmt: skip


# ---------------------------------------------------------------------- the record


def _kept(record: Record, options: argparse.Namespace, slices: Iterator[Slice]) -> list[Slice]:
    """Add slices to the record as they come; return them."""
    fresh = []
    for done in slices:
        record.append(done)
        _page_of(record).write_text(as_markdown(record.slices), encoding="utf-8")
        fresh.append(done)
        if not options.json:
            _print(f"{done}: {len(done.failures)} failed, digest {done.digest[:12]}")
    if not options.json:
        for kind, sums in record.totals.items():
            _print(f"{kind} so far: {sums['count']:,.0f} runs, {sums['failed']:,.0f} failed")
    return fresh


def _summary(record: Record, fresh: Sequence[Slice]) -> tuple[dict[str, Any], int]:
    failed = any(one.failures for one in fresh)
    return {"slices": len(fresh), "totals": record.totals}, BROKEN if failed else DONE


def _page_of(record: Record) -> Path:
    return record.path.with_suffix(".md")


def _check(record: Record, options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Add up again, and run some seeds once more; they must give what is recorded."""
    problems = record.problems()
    page = _page_of(record)
    if record.slices and (
        not page.exists() or page.read_text("utf-8") != as_markdown(record.slices)
    ):
        problems.append(f"{page.name} is not what the record says")
    own = [one for one in record.slices if _can_be_replayed(one)]
    replayed = []
    random = Random(options.pick)
    for _ in range(options.seeds if own else 0):
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


# ---------------------------------------------------------------------- the command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Run very many simulated worlds or disk images and keep a record.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_subparsers(required=True, metavar="worlds|images|check")
    _add_worlds(what.add_parser("worlds", help="whole fleets, broken by chance"))
    _add_images(what.add_parser("images", help="what disks may hold after crashes"))
    check = what.add_parser("check", help="run nothing new: add up, and replay some seeds")
    check.set_defaults(work=_check)
    check.add_argument("seeds", type=int, metavar="N", help="so many seeds are replayed")
    check.add_argument("--pick", default="", metavar="TEXT", help="chooses which")
    for one in what.choices.values():
        one.add_argument(
            "--record", type=Path, default=Path("simulators/world-record.json"), metavar="FILE",
            help="the record (default: simulators/world-record.json)",
        )  # fmt: skip
        one.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_worlds(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_worlds)
    parser.add_argument(
        "--scenario", action="append", metavar="NAME", help="again for another one (default: smoke)"
    )
    parser.add_argument(
        "--seeds", type=at_least_one, default=1000, metavar="N", help="up to this one of each"
    )
    parser.add_argument(
        "--slice", type=at_least_one, default=SLICE_SEEDS, metavar="N",
        help=f"seeds in a slice (default: {SLICE_SEEDS})",
    )  # fmt: skip
    _add_common(parser, first="seed")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_images)
    parser.add_argument(
        "--images", type=at_least_one, default=SWEEP_IMAGES, metavar="N", help="about how many"
    )
    parser.add_argument(
        "--sweep", type=at_least_one, default=SWEEP_IMAGES, metavar="N",
        help=f"images of one workload (default: {SWEEP_IMAGES})",
    )  # fmt: skip
    _add_common(parser, first="sweep")


def _add_common(parser: argparse.ArgumentParser, *, first: str) -> None:
    parser.add_argument(
        "--first", type=at_least_one, default=1, metavar="N", help=f"the first {first}"
    )
    parser.add_argument(
        "--slices", type=at_least_one, metavar="N", help="end after so many new slices"
    )
    jobs = os.cpu_count() or 1
    parser.add_argument(
        "--jobs", type=at_least_one, default=jobs, metavar="N", help=f"processes (here: {jobs})"
    )


def _print(text: str, *, error: bool = False) -> None:
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
