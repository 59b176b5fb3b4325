"""One call of ``whimbrel-sim fleet``: from options to a roster, a crew, a report."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from whimbrel_aggregator.secretfile import read_secret

from .commands.fleet import LIGHT_ABOVE, RATE_PER_AGENT
from .commands.outlet import DISAGREES, DONE, configured_holders, holders_of
from .crew import Crew
from .enrolment import (
    ByApi,
    ByConfig,
    Way,
    enrol,
    remove,
    remove_commands,
    write_scripts,
)
from .figures import Figures
from .junit import write_junit
from .lightcrew import LightCrew
from .localregion import LocalRegion
from .pace import MIX, Pace
from .processcrew import ProcessCrew
from .roster import Member, Roster, RosterError, equip, has_roster, load_roster
from .running import Plan, Report, run_fleet
from .screen import Screen

STOP_TIMEOUT_S: Final = 20.0
_MODULES: Final = frozenset(
    {"whimbrel_agent", "whimbrel_aggregator", "whimbrel_sim.fleets.host", "whimbrel_sim.broker"}
)
"""What a fleet's processes run; amqtt does not name the folder, but ends with its terminal."""


def run_session(options: argparse.Namespace) -> int:
    """Run a fleet as the options say, and return the exit status."""
    console = Console()
    try:
        report = asyncio.run(_run(options, console))
    except* (OSError, Exception) as errors:
        raise _first_of(errors) from errors
    _tell(report, console)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    if options.junit:
        write_junit(report, options.junit)
    return DONE if report.agrees else DISAGREES


async def _run(options: argparse.Namespace, console: Console) -> Report:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        way, holders = _way(options), holders_of(options)
        if options.local:
            local = await asyncio.to_thread(LocalRegion, options.folder / "region")
            await stack.enter_async_context(local)
            console.print(f"{local.broker_name} at {local.url}", highlight=False)
            way = ByConfig(local.region.config_file)
            holders = configured_holders(local.region.config_file)
            options.broker = [local.url]
        roster = await _roster(options, way)
        pace = _pace(options, roster)
        crew = await _crew(options, roster, pace, way, console)
        plan = Plan(
            folder=options.folder, roster=roster, duration_s=options.duration,
            drain_s=options.drain, holders=holders,
        )  # fmt: skip
        screen = stack.enter_context(Screen(console, len(roster)))

        def show(phase: str, figures: Figures) -> None:
            screen.show(phase, figures, loop.time())

        return await run_fleet(plan, crew, stop=stop, show=show)


def _pace(options: argparse.Namespace, roster: Roster) -> Pace:
    usual = RATE_PER_AGENT * len(roster) if options.workload == MIX else 1.0
    rate = usual if options.rate is None else options.rate
    if rate <= 0:
        raise RosterError(f"--rate is {rate:g}, must be above 0")
    return Pace(events_per_s=rate, burst_events=options.burst, workload=options.workload)


def _way(options: argparse.Namespace) -> Way | None:
    if options.aggregator_config:
        return ByConfig(options.aggregator_config)
    if options.api:
        return ByApi(options.api, read_secret(options.token_file) if options.token_file else None)
    return None


async def _roster(options: argparse.Namespace, way: Way | None) -> Roster:
    """Return the folder's fleet at the brokers given now, or a new one."""
    if not options.broker:
        raise RosterError("no broker is named; add --broker mqtt://HOST:PORT, or --local")
    name, key = options.region, options.region_key
    if isinstance(way, ByConfig):
        facts = way.facts()
        name, key = facts.name, facts.key
    elif isinstance(way, ByApi) and name is None:
        name = await way.region_name()
    if name is None or key is None:
        raise RosterError(
            "the region is not known; add --region NAME --region-key KEY (what whimbrel-aggregator "
            "keygen printed), or --aggregator-config FILE"
        )
    roster = Roster(
        run=_run_of(options.folder), tenant=options.tenant, region=name, region_key=key,
        brokers=tuple(options.broker), stores=options.stores, devices=options.devices,
        store_prefix=options.store_prefix, device_prefix=options.device_prefix,
        seed=options.seed, keepalive_s=options.keepalive,
    )  # fmt: skip
    roster.save(options.folder)
    return roster


def _run_of(folder: Path) -> str:
    return load_roster(folder).run if has_roster(folder) else secrets.token_hex(4)


async def _crew(
    options: argparse.Namespace, roster: Roster, pace: Pace, way: Way | None, console: Console
) -> Crew:
    """Equip everybody, make them known, and return their processes, not started yet."""
    light = options.light or (len(roster) > LIGHT_ABOVE and not options.processes)
    folder: Path = options.folder
    keys = await asyncio.to_thread(_equip_all, folder, roster)
    scripts = write_scripts(folder, roster, keys)
    if way is None:
        console.print(
            f"enrol the fleet where the aggregator's files are: sh {scripts[0]} --config FILE; "
            "until then its agents keep everything",
            highlight=False,
        )
    else:
        await enrol(way, roster, keys)
        console.print(f"{len(roster)} devices are enrolled", highlight=False)
    if light:
        return LightCrew(folder, roster, pace)
    return await asyncio.to_thread(ProcessCrew, folder, roster, pace)


def _equip_all(folder: Path, roster: Roster) -> dict[Member, str]:
    return {member: equip(folder, roster, member, http_port=None) for member in roster.members}


def _tell(report: Report, console: Console) -> None:
    figures = report.figures
    console.print(
        f"{len(report.plan.roster)} agents, {report.most_up} up at once, {figures.accepted} events "
        f"accepted in {report.sending_s:.0f} s, {figures.delivered} with a receipt",
        highlight=False,
    )
    if report.reckoning is None:
        console.print(
            f"nothing was named to compare with; later: whimbrel-sim reconcile "
            f"{report.plan.folder} --journal FILE",
            highlight=False,
        )
    else:
        for line in report.reckoning.lines():
            console.print(line, highlight=False, markup=False)
    for name, wrong in report.checks().items():
        if wrong:
            console.print(f"NOT SO: {name}: {wrong}", highlight=False, markup=False)


# ------------------------------------------------------------------ cleaning up


def clean(options: argparse.Namespace) -> int:
    """Stop what is left of a fleet, remove its devices, then its folder."""
    console = Console()
    folder: Path = options.folder
    roster = load_roster(folder)
    for process in stop_leftovers(folder):
        console.print(f"stopped process {process}", highlight=False)
    way = _way(options)
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


def _first_of(errors: BaseExceptionGroup[Exception]) -> Exception:
    for error in errors.exceptions:
        return _first_of(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError
