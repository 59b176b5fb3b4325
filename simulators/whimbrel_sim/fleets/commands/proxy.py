"""``whimbrel-sim proxy``: one bad network between clients and a broker."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whimbrel_sim.fleets.faultfile import Fault
    from whimbrel_sim.proxy import Proxy

from .outlet import DONE, USAGE, guarded

_EPILOG = """\
example:
  whimbrel-sim proxy --listen 127.0.0.1:1884 --to 127.0.0.1:1883 --scenario bad-day.toml

where bad-day.toml says, for instance:
  [[fault]]
  at_s = 10
  for_s = 5
  every_s = 60
  kind = "link.delay"
  delay_s = 0.3
  direction = "up"

kinds: link.delay (delay_s, jitter_s), link.loss (chance), link.flip (chance), link.bandwidth
(bytes_per_s or kbit_per_s), link.up_cut, link.down_cut, link.cut, link.reset, link.flap (on_s,
off_s), link.refused, link.half_open, link.captive; and for MQTT without TLS link.drop,
link.duplicate and link.reorder (chance). A number may be a range [LOW, HIGH] that is drawn from.
SIGHUP reads
the scenario again and plays it from its start. Counters are printed as a line of JSON on SIGUSR1, every --report seconds, and at the end.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "proxy",
        help="a TCP proxy that plays a bad network",
        description="Pass connections on to a broker, and do to them what a scenario says.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen", required=True, metavar="HOST:PORT", help="where clients connect"
    )
    parser.add_argument("--to", required=True, metavar="HOST:PORT", help="the broker")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="without it: a good network")
    parser.add_argument(
        "--links-only", action="store_true",
        help="leave out the scenario's faults that are not about links, such as machine.kill",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of chance (default: 1)")
    parser.add_argument(
        "--report", type=float, metavar="SECONDS", help="print the counters so often"
    )
    parser.add_argument(
        "--mqtt", action="store_true",
        help="look at MQTT packets, even when the scenario does not speak of publications yet",
    )  # fmt: skip
    parser.add_argument("--until-played", action="store_true", help="end with the scenario")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415  --help is quick

    ends = {
        name: _end_of(text) for name, text in (("--listen", options.listen), ("--to", options.to))
    }
    for name, end in ends.items():
        if end is None:
            print(f"whimbrel-sim: {name} must be like 127.0.0.1:1884", file=sys.stderr)
            return USAGE
    scenario = _scenario(options)
    listen, broker = ends["--listen"], ends["--to"]
    assert listen is not None
    assert broker is not None
    asyncio.run(_serve(options, scenario, listen, broker))
    return DONE


async def _serve(
    options: argparse.Namespace,
    scenario: list[Fault],
    listen: tuple[str, int],
    broker: tuple[str, int],
) -> None:
    import asyncio  # noqa: PLC0415
    import signal  # noqa: PLC0415
    from random import Random  # noqa: PLC0415

    from whimbrel_sim.fleets.faultfile import needs_mqtt  # noqa: PLC0415
    from whimbrel_sim.proxy import Proxy  # noqa: PLC0415

    proxy = Proxy(
        host=listen[0], port=listen[1], broker_host=broker[0], broker_port=broker[1],
        random=Random(options.seed), mqtt=options.mqtt or needs_mqtt(scenario),
    )  # fmt: skip
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _report, proxy)

    changed = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, changed.set)

    async def play() -> None:
        faults = scenario
        while True:
            changed.clear()
            async with asyncio.TaskGroup() as group:
                playing = group.create_task(_play(proxy, faults), name="proxy.playing")
                if options.until_played:
                    playing.add_done_callback(lambda task: None if task.cancelled() else stop.set())
                await changed.wait()
                playing.cancel()
            faults = _reread(options, proxy, faults)

    async def report() -> None:
        while options.report:
            await asyncio.sleep(options.report)
            _report(proxy)

    async with proxy, asyncio.TaskGroup() as group:
        print(f"proxy from {options.listen} to {options.to}", flush=True)
        jobs = [
            group.create_task(play(), name="proxy.scenario"),
            group.create_task(report(), name="proxy.report"),
        ]
        await stop.wait()
        for job in jobs:
            job.cancel()
    _report(proxy)


async def _play(proxy: Proxy, scenario: list[Fault]) -> None:
    from whimbrel_sim.fleets.timeline import play_scenario  # noqa: PLC0415

    await play_scenario(proxy, scenario, announce=lambda text: print(text, flush=True))


def _reread(options: argparse.Namespace, proxy: Proxy, before: list[Fault]) -> list[Fault]:
    """Read the scenario again; one that cannot be played is told of, and the former goes on."""
    from whimbrel_sim.fleets.faultfile import ScenarioError, needs_mqtt  # noqa: PLC0415

    try:
        faults = _scenario(options)
    except ScenarioError as error:
        print(f"whimbrel-sim: {error}", file=sys.stderr, flush=True)
        return before
    if needs_mqtt(faults) and not proxy.mqtt:
        print(
            f"whimbrel-sim: {options.scenario}: speaks of publications, which this proxy does not "
            "look at; start it with --mqtt",
            file=sys.stderr,
            flush=True,
        )
        return before
    return faults


def _scenario(options: argparse.Namespace) -> list[Fault]:
    from whimbrel_sim.fleets.faultfile import read_scenario  # noqa: PLC0415

    if options.scenario is None:
        return []
    return read_scenario(options.scenario, seed=options.seed, links_only=options.links_only)


def _report(proxy: Proxy) -> None:
    figures = {"connections": proxy.connections, **dict(sorted(proxy.counts.items()))}
    print(json.dumps(figures), flush=True)


def _end_of(text: str) -> tuple[str, int] | None:
    host, mark, port = text.rpartition(":")
    if not mark or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)
