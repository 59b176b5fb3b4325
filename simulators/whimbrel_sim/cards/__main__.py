"""``python -m whimbrel_sim.cards``: sweep crash images and faults over buffer and journal."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .examining import Finding
from .preload import PreloadError
from .sweep import PARTS, Sweep, SweepError, counts_of

SHOWN: int = 10
"""Broken promises printed; the file has all of them."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m whimbrel_sim.cards", description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="images and faults in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, help="only this one; all images are of it then")
    parser.add_argument("--image", type=int, help="only this image (to replay it)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sabotage", default="", help="a planted fault; it must be found")
    parser.add_argument("--keep", type=Path, help="leave logs and images in this folder")
    parser.add_argument("--json", type=Path, help="write figures and findings to this file")
    return parser.parse_args()


def main() -> int:
    """Sweep; 0 when every promise was kept, 1 when one was broken, 2 when it could not be done."""
    given = _arguments()
    console = Console(stderr=True)
    parts = (given.part,) if given.part else PARTS
    counts = counts_of(given.images, parts)
    sweep = Sweep(
        seed=given.seed, counts=counts, jobs=given.jobs, sabotage=given.sabotage,
        image=given.image, keep=given.keep,
    )  # fmt: skip
    begun_s = time.monotonic()  # noqa: TID251  how long it took, for who reads it
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            part: progress.add_task(part, total=count if given.image is None else 1)
            for part, count in counts.items()
        }

        def on_finding(finding: Finding) -> None:
            progress.advance(bars[finding.part])

        try:
            findings = sweep.run(on_finding)
        except (PreloadError, SweepError) as error:
            console.print(str(error), markup=False)
            return 2
    took_s = time.monotonic() - begun_s  # noqa: TID251
    return _report(console, given, findings, took_s)


def _report(
    console: Console, given: argparse.Namespace, findings: list[Finding], took_s: float
) -> int:
    broken = sorted((f for f in findings if f.problem), key=lambda f: (f.part, f.image))
    for finding in broken[:SHOWN]:
        again = f"python -m whimbrel_sim.cards --seed {given.seed} --part {finding.part} --image {finding.image}"
        if given.sabotage:
            again += f" --sabotage {given.sabotage}"
        console.print(
            f"\n{finding.part} {finding.image}, {finding.crash}, after operation {finding.cut}:\n"
            f"{finding.problem.strip()}\nagain: {again}",
            markup=False,
        )
    console.print(
        f"{len(findings)} images in {took_s:.1f} s ({len(findings) / took_s:.0f}/s), "
        f"{len(broken)} broken promises"
    )
    if given.json:
        figures = {
            "seed": given.seed,
            "images": len(findings),
            "broken": len(broken),
            "seconds": round(took_s, 1),
            "images_per_s": round(len(findings) / took_s, 1),
            "findings": [asdict(finding) for finding in broken],
        }
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
