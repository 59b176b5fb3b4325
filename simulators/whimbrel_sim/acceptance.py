"""``scripts/acceptance``: the long timed runs with real processes, and their report.

Each run is one of the project's own scripts, so that whoever doubts a line of the report can
repeat it alone. The report is committed with the release that it speaks for.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from .bench.report import number
from .sabotage import SABOTAGES
from .trials.planted import PARTS, PLANTED

BROKERS: Final = ("mosquitto", "nats", "amqtt")
SABOTAGE_KILLS: Final = 12
FLEET_SABOTAGES: Final = ("dedup-off", "free-on-puback")
FLEET_SABOTAGE: Final = ("--agents", "20", "--minutes", "0.25", "--rate", "40", "--kill-every", "3")
"""A planted fault shows in a small fleet within seconds."""

RUN_TIMEOUT_S: Final = 3 * 3600


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the report: what was run, whether it came out as it must, and what it said.

    ``passed`` is None where the run was skipped, since this machine does not allow it.
    """

    command: str
    passed: bool | None
    said: str

    @property
    def verdict(self) -> str:
        """The word for it in the report."""
        return {True: "yes", False: "**no**", None: "skipped"}[self.passed]


def soaks(options: Namespace, folder: Path) -> Iterator[Run]:
    """Run random kills over every broker, then each planted fault, which must be found."""
    if not options.kills:
        return
    for place, broker in enumerate(BROKERS):
        seed = options.seed + place
        arguments = ["--kills", str(options.kills), "--seed", str(seed), "--broker", broker]
        done, report = _script("soak", arguments, folder / f"soak-{broker}.json")
        yield Run(f"scripts/soak {' '.join(arguments)}", done == 0, _soak_line(report))
    for name in SABOTAGES:
        arguments = ["--kills", str(SABOTAGE_KILLS), "--seed", str(options.seed)]
        arguments += ["--sabotage", name]
        done, report = _script("soak", arguments, folder / f"sabotage-{name}.json")
        yield Run(f"scripts/soak {' '.join(arguments)}", done == 1, _soak_line(report))


def fleets(options: Namespace, folder: Path) -> Iterator[Run]:
    """Run the fleet's trial in both forms, then each planted fault in both, which must be found."""
    forms: tuple[tuple[list[str], int, float], ...] = (
        ([], options.fleet_agents, options.fleet_minutes),
        (["--light"], options.light_agents, options.light_minutes),
    )
    for form, agents, minutes in forms:
        if not minutes:
            continue
        arguments = [*form, "--agents", str(agents), "--minutes", f"{minutes:g}"]
        yield _fleet([*arguments, "--seed", str(options.seed)], folder, expected=0)
        for name in FLEET_SABOTAGES:
            arguments = [*form, *FLEET_SABOTAGE, "--sabotage", name, "--forward", "5"]
            yield _fleet([*arguments, "--seed", str(options.seed)], folder, expected=1)


def _fleet(arguments: list[str], folder: Path, *, expected: int) -> Run:
    report_file = folder / "fleet.json"
    report_file.unlink(missing_ok=True)
    done, report = _script("fleet-trial", arguments, report_file)
    # a planted fault must not only end the run with 1: the broken promise must be named
    named = expected == 0 or any(": " in name for name in report.get("wrong", {}))
    return Run(
        f"scripts/fleet-trial {' '.join(arguments)}",
        done == expected and named,
        fleet_line(report),
    )


def fleet_line(report: dict[str, Any]) -> str:
    """Return what a fleet's trial said, in one line."""
    if not report:
        return "broke off"
    kills = sum(report["kills"].values())
    parts = [f"{report['agents']} agents, {report['most_up']} up at once, {kills} kills"]
    for name, result in (report["reckoning"] or {"holders": {}})["holders"].items():
        parts.append(f"{name} {result['committed']} of {result['accepted']} accepted")
    wrong = "; ".join(report["wrong"])
    return ", ".join(parts) + (f", broken: {wrong}" if wrong else "")


def flows(options: Namespace, folder: Path) -> Iterator[Run]:
    """Run each part of flow and power, then each planted fault, whose line must fail."""
    if not options.flow:
        return
    for part in PARTS:
        yield _flow([part, "--seed", str(options.seed)], folder, must_fail="")
    for name, (_, line) in PLANTED.items():
        arguments = ["--brief", "--sabotage", name, "--seed", str(options.seed)]
        yield _flow(arguments, folder, must_fail=line)


def _flow(arguments: list[str], folder: Path, *, must_fail: str) -> Run:
    report_file = folder / "flow.json"
    report_file.unlink(missing_ok=True)
    done, report = _script("flow-trial", arguments, report_file)
    passed = flow_passed(done, report, must_fail=must_fail)
    return Run(f"scripts/flow-trial {' '.join(arguments)}", passed, flow_line(report))


def flow_passed(done: int, report: dict[str, Any], *, must_fail: str) -> bool | None:
    """Say whether a part of the flow's trial came out as it must; None where it was skipped.

    Args:
        done: its exit status.
        report: what it wrote; empty when it broke off.
        must_fail: the line that a planted fault must break; empty without a fault.
    """
    parts = report.get("parts", [])
    if parts and all(part["skipped"] for part in parts):
        return None
    failing = [line["name"] for part in parts for line in part["lines"] if not line["passed"]]
    if must_fail:
        # a planted fault must not only end the run with 1: its line must be named
        return done == 1 and must_fail in failing
    return done == 0 and bool(parts) and not failing


def flow_line(report: dict[str, Any]) -> str:
    """Return what a part of the flow's trial said, in one line."""
    if not report:
        return "broke off"
    said = [f"skipped, {part['skipped']}" for part in report["parts"] if part["skipped"]]
    for part in report["parts"]:
        for line in part["lines"]:
            broken = "" if line["passed"] else "broken: "
            said.append(f"{broken}{line['name']}: {line['said']}")
    return "; ".join(said)


def demo() -> Run:
    """Run the demo."""
    done, _ = _script("demo", [], None)
    return Run("scripts/demo", done == 0, "agrees" if done == 0 else "disagrees or broke off")


def bench(options: Namespace, folder: Path) -> tuple[Run, dict[str, Any]]:
    """Take every figure."""
    arguments = ["--runs", str(options.runs)]
    done, figures = _script("bench", arguments, options.figures or folder / "bench.json")
    return Run(f"scripts/bench {' '.join(arguments)}", done == 0, "figures below"), figures


def report_text(runs: Sequence[Run], figures: dict[str, Any], started: datetime) -> str:
    """Return the report as Markdown."""
    lines = [
        "# Acceptance",
        "",
        (
            f"Begun {started:%Y-%m-%d %H:%M} UTC; Python {platform.python_version()}, "
            f"{platform.machine()}. Written by `scripts/acceptance`."
        ),
        "",
        "| run | as it must be | what it said |",
        "|---|---|---|",
        *(f"| `{run.command}` | {run.verdict} | {run.said} |" for run in runs),
        "",
        *_figures_text(figures),
    ]
    return "\n".join(lines) + "\n"


def _figures_text(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the figures as a table; each stands there with what it was measured against."""
    if not figures:
        return
    machine = figures["machine"]
    yield "## Figures"
    yield ""
    yield (
        f"Medians of {figures['runs']} runs on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['file_system']}, SQLite {machine['sqlite']}; begun before {figures['when']}."
    )
    yield ""
    yield "| figure | value | unit | target | met | against, in the same run |"
    yield "|---|---|---|---|---|---|"
    for key, detail in figures["details"].items():
        value = number(detail["value"])
        met = {None: "", True: "yes", False: "**no**"}[detail["met"]]
        yield (
            f"| `{key}` | {value} | {detail['unit']} | {detail['target'] or ''} | {met} | "
            f"{detail['reference']} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything and return the exit status."""
    options = _parser().parse_args(arguments)
    started = datetime.now(UTC)
    runs: list[Run] = []
    figures: dict[str, Any] = {}
    with TemporaryDirectory(prefix="whimbrel-acceptance-") as place:
        folder = Path(place)
        everything = (soaks(options, folder), fleets(options, folder), flows(options, folder))
        for run in chain.from_iterable(everything):
            runs.append(run)
            print(f"{run.verdict}: {run.command}: {run.said}", flush=True)  # noqa: T201
        if options.demo:
            runs.append(demo())
        if options.runs:
            run, figures = bench(options, folder)
            runs.append(run)
    options.out.write_text(report_text(runs, figures, started))
    return 1 if any(run.passed is False for run in runs) else 0


def _script(name: str, arguments: list[str], report: Path | None) -> tuple[int, dict[str, Any]]:
    wanted = [] if report is None else ["--json", str(report)]
    done = subprocess.run(
        [f"scripts/{name}", *arguments, *wanted],
        stdout=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S, check=False,
    )  # fmt: skip
    found: dict[str, Any] = {}
    if report is not None and report.exists():
        found = json.loads(report.read_text())
    return done.returncode, found


def _soak_line(report: dict[str, Any]) -> str:
    result = report.get("result") or {}
    kills = sum(report.get("kills", {}).values())
    wrong = {
        name: len(found) for name, found in result.items() if isinstance(found, list) and found
    }
    counts = f"{kills} kills, {result.get('accepted', 0)} accepted, {result.get('committed', 0)} committed"
    return counts + (f", wrong: {wrong}" if wrong else "")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="scripts/acceptance", description="The long runs and their report."
    )
    parser.add_argument(
        "--kills", type=int, default=300, help="for each broker (default 300); 0 leaves soaks out"
    )
    parser.add_argument(
        "--fleet-agents", type=int, default=200, help="in processes of their own (default 200)"
    )
    parser.add_argument(
        "--fleet-minutes", type=float, default=10.0, help="default 10; 0 leaves them out"
    )
    parser.add_argument(
        "--light-agents", type=int, default=2000, help="many in each process (default 2000)"
    )
    parser.add_argument(
        "--light-minutes", type=float, default=5.0, help="default 5; 0 leaves them out"
    )
    parser.add_argument(
        "--no-flow", dest="flow", action="store_false", help="leave flow and power out"
    )
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="leave the demo out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="of the benchmark; 0 leaves it out")
    parser.add_argument("--figures", type=Path, help="keep the benchmark's JSON document here")
    parser.add_argument("--out", type=Path, default=Path("simulators/acceptance.md"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
