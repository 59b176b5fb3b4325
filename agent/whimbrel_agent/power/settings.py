"""The ``[power]`` table of ``agent.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from whimbrel_agent.power.modes import (
    SETTINGS,
    CodecEffort,
    Mode,
    ModeSettings,
    frugal_settings,
)
from whimbrel_agent.power.rules import HYSTERESIS_PERCENT, ModeRules
from whimbrel_agent.settings import Table

if TYPE_CHECKING:
    from whimbrel_agent.power.ups import UpsConfig

__all__ = ["EFFORTS", "MAX_SESSIONS_PER_H", "SOURCES", "PowerConfig", "power_config"]

SOURCES: Final = ("auto", "sysfs", "psutil", "ups", "none")

EFFORTS: Final[Mapping[str, CodecEffort | None]] = {
    "default": None,
    "fast": CodecEffort.LIGHT,
    "best": CodecEffort.FULL,
}
"""What ``codec_effort`` may be, and what every mode then does; None: each as it says."""

MAX_SESSIONS_PER_H: Final = 3600

_MIN_CELL_V: Final = 0.5  # lithium cells end at 2.5, a lead cell at 1.75, nickel at 0.9
_MAX_CELL_V: Final = 20.0  # a pack that is sold as one cell
_MIN_RUNTIME_S: Final = 1.0  # a board with a supercapacitor that only bridges the stop


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerConfig:
    """Where power is read, and where the modes' lines are.

    Attributes:
        source: one of :data:`SOURCES`.
        rules: the lines.
        ups: the UPS HAT's chip; None without one.
        sys: where sysfs is mounted.
        modes: what each mode asks for.
    """

    source: str = "auto"
    rules: ModeRules = field(default_factory=ModeRules)
    ups: UpsConfig | None = None
    sys: Path = Path("/sys")
    modes: Mapping[Mode, ModeSettings] = field(default_factory=lambda: SETTINGS)


def power_config(table: Table | None) -> PowerConfig:
    """Read the table; without one, sources are looked for.

    Raises:
        ConfigError: naming setting, problem and remedy.
    """
    if table is None:
        return PowerConfig()
    ups = _ups(table.table("ups"))
    config = PowerConfig(
        source=table.choice("source", PowerConfig().source, SOURCES),
        rules=_rules(table),
        ups=ups,
        sys=table.optional_path("sys") or PowerConfig().sys,
        modes=_modes(table),
    )
    if config.source == "ups" and ups is None:
        raise table.error(
            "source", f'is ups; add [{table.name}.ups] with chip = "max17048" or another'
        )
    if config.source not in ("ups", "auto") and ups is not None:
        raise table.error(
            "source", f"is {config.source}, which leaves [{table.name}.ups] unread; set ups or auto"
        )
    table.finish()
    return config


def _modes(table: Table) -> Mapping[Mode, ModeSettings]:
    sessions_per_h = table.number("sessions_per_h", 0, 0, MAX_SESSIONS_PER_H)
    effort = EFFORTS[table.choice("codec_effort", "default", tuple(EFFORTS))]
    return frugal_settings(sessions_per_h or None, effort)


def _rules(table: Table) -> ModeRules:
    default = ModeRules()
    rules = ModeRules(
        low_percent=table.number("low_percent", default.low_percent, 1, 95),
        critical_percent=table.number("critical_percent", default.critical_percent, 0, 50),
        confirm=table.integer("confirm", default.confirm, 2, 20),
        stop_at_critical=table.flag("stop_at_critical", default=default.stop_at_critical),
        max_poll_s=table.number("max_poll_s", default.max_poll_s, 0.05, 600),
        shortest_runtime_s=table.number(
            "shortest_runtime_s", default.shortest_runtime_s, _MIN_RUNTIME_S, 1e6
        ),
    )
    if rules.low_percent < rules.critical_percent + HYSTERESIS_PERCENT:
        raise table.error(
            "low_percent",
            f"is {rules.low_percent:g}, must be at least {HYSTERESIS_PERCENT:g} above "
            f"critical_percent, which is {rules.critical_percent:g}",
        )
    return rules


def _ups(table: Table | None) -> UpsConfig | None:
    if table is None:
        return None
    from whimbrel_agent.power.ups import CHIPS, UpsConfig  # noqa: PLC0415  few devices have one

    chip = table.text("chip")
    if chip not in CHIPS:
        raise table.error("chip", f"is {chip!r:.40}, must be one of {', '.join(CHIPS)}")
    default = UpsConfig(chip=chip)
    usual = CHIPS[chip].address
    config = UpsConfig(
        chip=chip,
        bus=table.integer("bus", default.bus, 0, 255),
        address=table.integer("address", usual, 0x03, 0x77),  # what I2C leaves for chips
        cells=table.integer("cells", default.cells, 1, 32),
        empty_v=table.number("empty_v", default.empty_v, _MIN_CELL_V, _MAX_CELL_V),
        full_v=table.number("full_v", default.full_v, _MIN_CELL_V, _MAX_CELL_V),
        shunt_ohms=table.number("shunt_ohms", default.shunt_ohms, 0.0001, 10),
        reverse_current=table.flag("reverse_current", default=default.reverse_current),
    )
    if config.full_v <= config.empty_v:
        raise table.error(
            "full_v", f"is {config.full_v:g}, must be above empty_v, which is {config.empty_v:g}"
        )
    table.finish()
    return config
