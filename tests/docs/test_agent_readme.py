"""What ``agent/README.md`` says of power is what the agent does."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

from documents import ROOT, blocks_of
from whimbrel_agent.power.modes import SETTINGS, ModeSettings
from whimbrel_agent.power.settings import power_config
from whimbrel_agent.power.ups import CHIPS, UpsConfig
from whimbrel_agent.settings import Table
from whimbrel_protocol.lanes import LANES

PAGE = ROOT / "agent" / "README.md"


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def row(settings: ModeSettings) -> list[str]:
    """The column of one mode, as the page writes it."""
    keepalive_s, sessions = settings.keepalive_s, settings.sessions_per_h
    return [
        *(f"{settings.linger_s[lane]:g} s" for lane in LANES),
        "as configured" if settings.batch_events is None else str(settings.batch_events),
        settings.codec_effort.name.lower(),
        "any" if sessions is None else f"{sessions:g}",
        "connected" if settings.stay_connected else "disconnected",
        "as configured" if keepalive_s is None else f"{keepalive_s} s",
        f"{settings.metrics_every_s:g} s" if settings.metrics_every_s else "as configured",
        f"{settings.poll_s:g} s",
    ]


def test_the_table_of_modes_is_the_settings() -> None:
    table = rows()
    start = table.index(["", "mains", "battery", "low", "critical"]) + 2
    told = table[start : start + 11]
    assert [list(column) for column in zip(*told, strict=True)][1:] == [
        row(settings) for settings in SETTINGS.values()
    ]


def test_every_setting_of_power_is_in_the_table_of_settings() -> None:
    told = rows()
    first = next(n for n, cells in enumerate(told) if cells[0] == "`power`")
    words = " ".join(cells[1] for cells in told[first : first + 13])
    table = Table(Path("agent.toml"), "power", {})
    power_config(table)
    known = {*table._known, *(field.name for field in fields(UpsConfig))} - {"ups"}
    assert [name for name in sorted(known) if f"`{name}`" not in words] == []
    assert [chip for chip in CHIPS if f"`{chip}`" not in PAGE.read_text()] == []


def test_the_examples_of_power_load() -> None:
    found = [
        tomllib.loads(block.text)["power"]
        for block in blocks_of(PAGE)
        if block.language == "toml" and "[power" in block.text
    ]
    assert len(found) == 2
    for values in found:
        power_config(Table(Path("agent.toml"), "power", values))
