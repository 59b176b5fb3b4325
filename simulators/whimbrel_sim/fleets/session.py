"""One call of ``whimbrel-sim fleet``: from options to a roster, a crew, a report."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from rich.console import Console

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_sim.ports import free_port
from whimbrel_sim.proxy import Proxy
from whimbrel_sim.workloads.device import MAX_RATE, MIN_RATE

from .commands.fleet import LIGHT_ABOVE, RATE_PER_AGENT
from .commands.outlet import DISAGREES, DONE, configured_holders, holders_of
from .crew import Crew
from .enrolment import ByApi, ByConfig, Way, enrol, way_of, write_scripts
from .faultfile import Play, needs_mqtt, read_scenario
from .figures import Figures
from .junit import write_junit
from .lightcrew import LightCrew
from .localregion import LocalRegion
from .pace import LEAST_RATE, MIX, MOST_RATE, Pace
from .processcrew import ProcessCrew
from .roster import Member, Roster, RosterError, equip, has_roster, load_roster
from .running import During, Plan, Report, run_fleet
from .screen import Screen
from .timeline import apply_play, play_scenario


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
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupted)
    async with AsyncExitStack() as stack:
        way = way_of(options.aggregator_config, options.api, options.token_file)
        holders = holders_of(options)
        if options.local:
            local = await asyncio.to_thread(LocalRegion, options.folder / "region")
            await stack.enter_async_context(local)
            console.print(f"{local.broker_name} at {local.url}", highlight=False)
            way = ByConfig(local.region.config_file)
            holders = configured_holders(local.region.config_file)
            options.broker = [local.url]
        during = None
        if options.scenario is not None:
            during = await _roughen(options, stack)
        pace = _pace(options)
        roster = await _roster(options, way)
        crew = await _crew(options, roster, pace, way, console)
        plan = Plan(
            folder=options.folder, roster=roster, duration_s=options.duration,
            drain_s=options.drain, holders=holders,
        )  # fmt: skip
        screen = stack.enter_context(Screen(console, len(roster)))

        def show(phase: str, figures: Figures) -> None:
            screen.show(phase, figures, loop.time())

        return await run_fleet(plan, crew, stop=stop, hurry=hurry, show=show, during=during)


async def _roughen(options: argparse.Namespace, stack: AsyncExitStack) -> During:
    """Put a bad network before the broker, and return what plays it."""
    scenario = read_scenario(options.scenario, seed=options.seed, links_only=True)
    url = BrokerUrl.parse(options.broker[0]) if options.broker else None
    if url is None or len(options.broker) > 1 or url.secure or url.websocket:
        raise RosterError("--scenario needs one --broker mqtt://HOST:PORT, without TLS")
    proxy = Proxy(
        port=free_port(), broker_host=url.host, broker_port=url.port,
        random=Random(options.seed), mqtt=needs_mqtt(scenario),
    )  # fmt: skip
    await stack.enter_async_context(proxy)
    options.broker = [proxy.url]

    async def play() -> None:
        try:
            await play_scenario(proxy, scenario)
        finally:
            await apply_play(proxy, Play())

    return play


def _pace(options: argparse.Namespace) -> Pace:
    agents = options.stores * options.devices
    usual = RATE_PER_AGENT * agents if options.workload == MIX else 1.0
    rate = usual if options.rate is None else options.rate
    low, high = (MIN_RATE, MAX_RATE) if options.workload != MIX else (LEAST_RATE, MOST_RATE)
    if not low <= rate <= high or options.burst < 1:
        raise RosterError(
            f"--rate is {rate:g} and --burst {options.burst}: with --workload {options.workload} "
            f"the rate must be {low:g} to {high:g}, and the burst at least 1"
        )
    return Pace(events_per_s=rate, burst_events=options.burst, workload=options.workload)


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
    former = load_roster(options.folder) if has_roster(options.folder) else None
    roster = Roster(
        run=secrets.token_hex(4) if former is None else former.run, tenant=options.tenant, region=name, region_key=key,
        brokers=tuple(options.broker), stores=options.stores, devices=options.devices,
        store_prefix=options.store_prefix, device_prefix=options.device_prefix,
        seed=options.seed, keepalive_s=options.keepalive, username=options.username,
        password_file=_absolute(options.password_file), ca_file=_absolute(options.ca_file),
    )  # fmt: skip
    if former is not None:
        roster.check_same(former)
    roster.save(options.folder)
    return roster


def _absolute(file: Path | None) -> str | None:
    return None if file is None else str(file.absolute())


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


def _first_of(errors: BaseExceptionGroup[Exception]) -> Exception:
    for error in errors.exceptions:
        return _first_of(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError
