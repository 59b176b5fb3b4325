"""Getting rid of a fleet: its processes, its devices in the region, its folder."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from .commands.outlet import DONE
from .enrolment import remove, remove_commands, way_of
from .roster import load_roster

STOP_TIMEOUT_S: Final = 20.0
_MODULES: Final = frozenset(
    {"whimbrel_agent", "whimbrel_aggregator", "whimbrel_sim.fleets.host", "whimbrel_sim.broker"}
)
"""What a fleet's processes run; amqtt does not name the folder, but ends with its terminal."""


def clean(options: argparse.Namespace) -> int:
    """Stop what is left of a fleet, remove its devices, then its folder."""
    console = Console()
    folder: Path = options.folder
    roster = load_roster(folder)
    for process in stop_leftovers(folder):
        console.print(f"stopped process {process}", highlight=False)
    way = way_of(options.aggregator_config, options.api, options.token_file)
    local = folder / "region" / "region" / "aggregator.toml"
    if way is not None:
        count = asyncio.run(remove(way, roster))
        console.print(f"{count} devices are removed", highlight=False)
    elif not local.exists():
        console.print("where the aggregator's files are, run:", highlight=False)
        for line in remove_commands(roster):
            console.print(line, highlight=False, soft_wrap=True)
    if not options.keep_folder:
        shutil.rmtree(folder)
        console.print(f"{folder} is removed", highlight=False)
    return DONE


def stop_leftovers(folder: Path) -> list[int]:
    """End processes that a killed ``whimbrel-sim fleet`` left: those that name this folder."""
    place = str(folder.absolute())
    left = [process for process in psutil.process_iter() if _belongs(process, place)]
    for process in left:
        process.terminate()
    _, stubborn = psutil.wait_procs(left, STOP_TIMEOUT_S)
    for process in stubborn:
        process.kill()
    return [process.pid for process in left]


def _belongs(process: psutil.Process, place: str) -> bool:
    """Whether a process is an agent, a host or a region of the fleet in this folder."""
    try:
        words: Sequence[str] = process.cmdline()
    except psutil.Error:
        return False
    named = any(word == place or word.startswith(f"{place}/") for word in words)
    ours = not _MODULES.isdisjoint(words) or (bool(words) and Path(words[0]).name == "mosquitto")
    return named and ours
