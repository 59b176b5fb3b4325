"""``python -m whimbrel_sim.energy``: compare sending policies, and draw the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from whimbrel_sim.energy.comparison import CASES, Comparison, compare, lte
from whimbrel_sim.energy.picture import draw
from whimbrel_sim.energy.policies import OURS

MOST_TIMES_BOUND: Final = 1.10
LEAST_SAVED: Final = 0.85
_MIXED_DAYS_SHARE: Final = 10
"""The other cases are only shown: a tenth of the days does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the tables, write the picture; 1 when a target is missed."""
    options = _parser().parse_args(arguments)
    radio = lte()
    first, *others = CASES
    seeds = range(options.seeds)
    judged = compare(first, radio, seeds=seeds, days=options.days)
    _print(judged)
    for case in others:
        _print(compare(case, radio, seeds=seeds, days=options.days / _MIXED_DAYS_SHARE))
    if options.png is not None:
        options.png.write_bytes(draw(judged))
    faults = faults_of(judged)
    for fault in faults:
        print(f"missed: {fault}", file=sys.stderr)
    return 1 if faults else 0


def faults_of(judged: Comparison) -> list[str]:
    """Return what the shipped policy promises and did not hold."""
    ours = judged.row(OURS)
    faults = []
    if judged.worst_times_bound > MOST_TIMES_BOUND:
        faults.append(
            f"{judged.worst_times_bound:.3f} times the lower bound in the worst seed, "
            f"at most {MOST_TIMES_BOUND:.2f}"
        )
    if judged.saved < LEAST_SAVED:
        faults.append(f"{judged.saved:.1%} below send-at-once, at least {LEAST_SAVED:.0%}")
    if judged.sends_times_bound > MOST_TIMES_BOUND:
        faults.append(
            f"{judged.sends_times_bound:.3f} times the fewest sends, at most {MOST_TIMES_BOUND:.2f}"
        )
    if ours.missed:
        faults.append(f"{ours.missed} of {judged.items} items came after their deadline")
    return faults


def _print(comparison: Comparison) -> None:
    print(
        f"{comparison.load}: {comparison.items:,} items, {comparison.seeds} seeds of "
        f"{comparison.days:g} days; ours {comparison.saved:.1%} below send at once, "
        f"{comparison.worst_times_bound:.3f} times the bound in the worst seed\n"
    )
    print("| policy | J/day (radio) | times lower bound | sends/day | deadlines missed |")
    print("|---|---|---|---|---|")
    for row in comparison.rows:
        print(
            f"| {row.policy} | {row.joules_per_day:,.0f} | {row.times_bound:.3f} | "
            f"{row.sends_per_day:,.0f} | {row.missed} |"
        )
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m whimbrel_sim.energy",
        description="What sending policies cost on LTE, against a computed lower bound.",
    )
    parser.add_argument("--seeds", type=int, default=12, help="loads (default: 12)")
    parser.add_argument("--days", type=float, default=26.0, help="of each load (default: 26)")
    parser.add_argument("--png", type=Path, help="write the picture here")
    return parser
