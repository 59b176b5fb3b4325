"""The command line of ``scripts/bench``: results to stdout, progress to stderr."""

from __future__ import annotations

import compileall
import json
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import whimbrel_agent
import whimbrel_aggregator
import whimbrel_protocol
import whimbrel_sim

from .catalogue import KEYS, choose
from .corpora import find_data
from .figures import Bench, MakeBroker
from .report import COMPARED_RUNS, compare, comparison, document, table, this_machine
from .runs import PARENT, file_system_of, run_all


def main(mosquitto: MakeBroker | None = None, arguments: Sequence[str] | None = None) -> int:
    """Take figures; returns 1 when a comparison finds one worse, 2 on a wrong command line."""
    parser = _parser()
    wanted = parser.parse_args(arguments)
    if wanted.list:
        for key in KEYS.values():
            print(f"{key.name}  [{key.unit}]")
        return 0
    try:
        measurements = choose(wanted.only)
    except KeyError as error:
        parser.error(f"no figure is called {error.args[0]} (--list shows all)")
    baseline = json.loads(wanted.compare.read_text()) if wanted.compare else None
    runs = wanted.runs or (COMPARED_RUNS if baseline else 1)
    # as Ctrl-C, so that the processes started here are ended too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _compile()
    with tempfile.TemporaryDirectory(dir=wanted.dir, prefix="whimbrel-bench-") as folder:
        bench = Bench(
            folder=Path(folder),
            say=_say,
            quick=wanted.quick,
            data=wanted.data or find_data(Path.cwd()),
            mosquitto=mosquitto,
        )
        machine = this_machine(file_system_of(bench.folder))
        readings = run_all(measurements, bench, runs=runs)
    print(table(readings))
    if wanted.json:
        found = document(readings, machine, runs=runs, quick=wanted.quick, now=datetime.now(UTC))
        wanted.json.write_text(json.dumps(found, indent=2) + "\n")
    if baseline is None:
        return 0
    verdicts = compare(readings, machine, baseline)
    print(f"\nagainst {wanted.compare} ({len(verdicts)} of {len(readings)} figures compare)")
    print(comparison(verdicts))
    return int(any(verdict.is_worse for verdict in verdicts))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _compile() -> None:
    """Byte-compile the product, as installing it does: compiling at start costs memory."""
    for package in (whimbrel_protocol, whimbrel_agent, whimbrel_aggregator, whimbrel_sim):
        compileall.compile_dir(Path(package.__path__[0]), quiet=2)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="scripts/bench", description="Takes Whimbrel's figures.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write them as JSON")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY",
        help="only this figure, or those that begin with it and a dot; repeat for more",
    )  # fmt: skip
    parser.add_argument("--runs", type=_positive, metavar="N", help="median of N runs")
    parser.add_argument("--quick", action="store_true", help="small and rough, for tests")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE",
        help=f"fail when a median ({COMPARED_RUNS} runs) is over 10 %% worse than in this file",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the public data sets")
    parser.add_argument(
        "--dir", type=Path, default=PARENT, help=f"where to work, no tmpfs (default {PARENT})"
    )
    parser.add_argument("--list", action="store_true", help="list the figures and end")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
