"""Figures of a slow link, judged; the measuring itself needs root and network namespaces."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from documents import ROOT
from whimbrel_sim.trials.command import run_link
from whimbrel_sim.trials.link import LinkFigures, judge

GOOD = LinkFigures(
    agent_bit_s=1_800_000, others_bit_s=0, ping_rise_p50_ms=40, ping_rise_p95_ms=72,
    in_flight_s=0.23, round_trip_s=0.1, queueing_ms=40,
)  # fmt: skip
BESIDE = replace(GOOD, agent_bit_s=320_000, others_bit_s=1_600_000, ping_rise_p95_ms=420)
CAPPED = replace(GOOD, agent_bit_s=498_000)


def failing(
    alone: LinkFigures = GOOD, beside: LinkFigures = BESIDE, capped: LinkFigures = CAPPED
) -> list[str]:
    report = judge(alone, beside, capped, base_ms=1, tcp="cubic")
    return [name for name in report.failing if report.lines]


def test_figures_within_every_bound_hold() -> None:
    assert failing() == []


@pytest.mark.parametrize(
    ("alone", "line"),
    [
        (replace(GOOD, agent_bit_s=1_690_000), "alone at least 85% of the link are used"),
        (replace(GOOD, ping_rise_p95_ms=100), "the p95 of a ping rises by less than 100 ms"),
        (replace(GOOD, in_flight_s=1.01), "in flight is at most a second of the measured rate"),
    ],
)
def test_alone_each_bound_has_its_line(alone: LinkFigures, line: str) -> None:
    assert failing(alone=alone) == [line]


def test_a_bulk_lane_that_does_not_give_way_is_named() -> None:
    beside = replace(BESIDE, agent_bit_s=600_000)
    assert failing(beside=beside) == ["beside a TCP connection bulk takes less than 30% within 5 s"]


@pytest.mark.parametrize("bit_s", [474_000, 526_000])
def test_a_cap_holds_on_both_sides(bit_s: int) -> None:
    capped = replace(CAPPED, agent_bit_s=bit_s)
    assert failing(capped=capped) == ["a cap of 500 kbit/s holds within 5%"]


def test_where_no_namespace_may_be_made_it_says_skipped(tmp_path: Path) -> None:
    # a PATH without ip stands for a machine that lets nobody make namespaces
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env", "sed"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    script = (ROOT / "scripts" / "link-trial").read_text().replace("$PATH:/usr/sbin:/sbin", "$PATH")
    copy = tmp_path / "scripts" / "link-trial"
    copy.parent.mkdir()
    copy.write_text(script)
    report_file = tmp_path / "link.json"
    done = subprocess.run(
        ["/bin/bash", copy, "--json", report_file],
        env={**os.environ, "PATH": str(tools)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "skipped, it needs ip and tc" in done.stderr
    assert json.loads(report_file.read_text())["skipped"] == "it needs ip and tc (iproute2)"


def test_a_trial_that_broke_off_is_no_yes(tmp_path: Path) -> None:
    script = tmp_path / "link-trial"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    report = run_link(None, str(script))
    assert not report.passed
    assert "ended with 3" in report.lines[0].said
