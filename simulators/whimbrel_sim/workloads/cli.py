"""The command line of ``python -m whimbrel_sim.workloads``: what each kind's events cost."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from whimbrel_sim.bench.wire import BATCH

from .figures import KindFigures, measure_kinds
from .hours import BLACK_FRIDAY, ORDINARY

_DAYS: Final = {"ordinary": ORDINARY, "black-friday": BLACK_FRIDAY}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; writes it as JSON too where that is wanted."""
    wanted = _parser().parse_args(arguments)
    figures = list(measure_kinds(wanted.seed, wanted.events, _DAYS[wanted.day], wanted.rate))
    Console().print(_table(figures, wanted.events))
    if wanted.json:
        document = {
            "seed": wanted.seed,
            "events": wanted.events,
            "day": wanted.day,
            "rate": wanted.rate,
            "kinds": [{**asdict(one), "frame_ratio": one.frame_ratio} for one in figures],
        }
        wanted.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _table(figures: Sequence[KindFigures], count: int) -> Table:
    table = Table(caption=f"bytes per event, {count:,} events of each kind; a day of one store")
    table.add_column("kind")
    for head in (
        "devices", "a day", "least", "xz -9 columns", "xz -9 JSON",
        f"frames of {BATCH}", "frames / least",
    ):  # fmt: skip
        table.add_column(head, justify="right")
    for one in figures:
        table.add_row(
            one.kind,
            f"{one.devices}",
            f"{one.events_per_day:,.0f}",
            f"{one.entropy_bytes:.2f}",
            f"{one.xz_columns_bytes:.2f}",
            f"{one.xz_json_bytes:.2f}",
            f"{one.frame_bytes:.2f}",
            f"{one.frame_ratio:.2f}",
        )
    return table


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m whimbrel_sim.workloads",
        description="Prints what an event of each kind of device costs at least, and in fact.",
    )
    parser.add_argument("--events", type=_count, default=50_000, help="of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (%(default)s)")
    parser.add_argument("--day", choices=_DAYS, default="ordinary", help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write them as JSON")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < BATCH:
        raise ValueError(text)
    return count
