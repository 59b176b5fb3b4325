"""Runs the demo: ``python -m whimbrel_sim.demo``; exit status 1 when the figures do not agree."""

from __future__ import annotations

import asyncio
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console, RenderableType
from rich.live import Live

from whimbrel_sim.ledger import LedgerError
from whimbrel_sim.producer import ProducerError
from whimbrel_sim.program import ProgramError

from .figures import Figures
from .picture import Picture
from .reckoning import Reckoning, reckon
from .screen import final_view, live_view
from .stage import Stage
from .story import Pace, StoryError, play

_REDRAW_S = 0.25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status."""
    options = _parser().parse_args(arguments)
    folder = Path(mkdtemp(prefix="whimbrel-demo-"))
    console = Console()
    picture = Picture()
    reckoning: Reckoning | None = None
    try:
        reckoning = asyncio.run(_run(options, folder, console, picture))
    except* (StoryError, ProgramError, ProducerError, LedgerError, OSError) as errors:
        for error in errors.exceptions:
            console.print(f"[bold red]the demo broke off:[/] {error}", highlight=False)
    if reckoning is None:
        console.print(f"logs and files are in {folder}", highlight=False)
        return 1
    console.print(final_view(reckoning))
    if options.picture:
        picture.add(final_view(reckoning))
        picture.save(options.picture)
    if options.keep or not reckoning.agrees:
        console.print(f"logs and files are in {folder}", highlight=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if reckoning.agrees else 1


async def _run(options: Namespace, folder: Path, console: Console, picture: Picture) -> Reckoning:
    async with Stage(folder, seed=options.seed, events_per_s=options.rate / 3) as stage:
        figures = Figures(stage)
        show = _Show(stage, figures, console, picture)
        async with asyncio.TaskGroup() as group:
            drawing = group.create_task(show.run(), name="demo.screen")
            try:
                await play(stage, figures, _pace(options), show.announce)
            finally:
                drawing.cancel()
        await figures.refresh()
        return await asyncio.to_thread(reckon, stage, figures.region)


class _Show:
    """Redraws the live table in a terminal; elsewhere prints each act as a line."""

    def __init__(self, stage: Stage, figures: Figures, console: Console, picture: Picture) -> None:
        self._stage = stage
        self._figures = figures
        self._console = console
        self._picture = picture
        self._act = ""
        self._started_s = asyncio.get_running_loop().time()

    def announce(self, act: str) -> None:
        """Begin an act; the picture shows the moment before the link is mended."""
        if act.startswith("the link is mended"):
            self._picture.add(self._view())
        self._act = act
        self._console.print(f"{self._elapsed_s():5.1f} s  {act}", highlight=False)

    async def run(self) -> None:
        """Refresh the figures and the table until cancelled."""
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await self._figures.refresh()
                live.update(self._view(), refresh=self._console.is_terminal)
                await asyncio.sleep(_REDRAW_S)

    def _view(self) -> RenderableType:
        return live_view(self._stage, self._figures, self._act, self._elapsed_s())

    def _elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._started_s


def _pace(options: Namespace) -> Pace:
    if options.quick:
        return Pace(calm_s=3.0, outage_s=4.0, dead_s=1.0, after_s=2.0)
    return Pace()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="scripts/demo",
        description=(
            "Three stores, a region and a broker as real processes on this machine: events flow, "
            "the link is cut, an agent is killed, everything drains, and all is counted again."
        ),
        epilog="Exit status: 0 when accepted, committed and forwarded agree, 1 when they do not.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the events and the network")
    parser.add_argument(
        "--rate", type=float, default=600.0, help="events a second, all stores (default 600)"
    )
    parser.add_argument("--quick", action="store_true", help="shorter acts")
    parser.add_argument("--keep", action="store_true", help="keep logs and files")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it as an SVG, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
