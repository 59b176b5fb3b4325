"""Energy and wear for status: values, and the lines that people read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from whimbrel_agent.energy.model import Joules, Work
from whimbrel_agent.wear import LEAST_TOLD_S, WearFigures

__all__ = ["Consumption", "EnergyFigures", "energy_lines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """Estimated consumption over some time, joules by cause.

    Attributes:
        span_s: how long that was.
        base_j: the whole board at idle, which is not the agent's doing.
        agent_j: the sum of the causes below, the agent's own part.
        radio_j: waking the radio and its tails.
        keepalive_j: the same, for nothing but MQTT keep-alives.
        bytes_j: what bytes and messages themselves cost.
        cpu_j: processor time of the agent.
        flash_j: its writes and syncs.
    """

    span_s: float
    base_j: float
    agent_j: float
    radio_j: float
    keepalive_j: float
    bytes_j: float
    cpu_j: float
    flash_j: float

    @classmethod
    def of(cls, joules: Joules, span_s: float) -> Consumption:
        """Round to what the model can know."""
        return cls(
            span_s=round(span_s, 1),
            base_j=round(joules.base, 3),
            agent_j=round(joules.agent, 3),
            radio_j=round(joules.radio, 3),
            keepalive_j=round(joules.keepalive, 3),
            bytes_j=round(joules.bytes, 3),
            cpu_j=round(joules.cpu, 3),
            flash_j=round(joules.flash, 3),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyFigures:
    """What the agent's work is estimated to cost.

    Attributes:
        profile: the firmware profile whose constants are used.
        profile_reason: why it is that one.
        work: the counters behind the estimate, since the start.
        since_start: consumption since the agent started.
        last_day: consumption of the last 24 hours, or of the time since the start if that is less.
        battery_h: how long a full battery bears the last day's draw, board and agent together; None
            where the profile has none.
        wear: bytes written to flash.
    """

    profile: str
    profile_reason: str
    work: Work
    since_start: Consumption
    last_day: Consumption
    battery_h: float | None
    wear: WearFigures


def energy_lines(energy: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each line.

    Args:
        energy: the JSON form of :class:`EnergyFigures`.
    """
    yield "profile", f"{energy['profile']} ({energy['profile_reason']})"
    day = energy["last_day"]
    if day["span_s"] < LEAST_TOLD_S:
        text = f"agent {day['agent_j']:.1f} J, board at idle {day['base_j']:.0f} J"
        yield "energy", f"{text} in {_hours(day['span_s'])}; daily rates after an hour"
    else:
        yield from _per_day(energy, day)
    yield "flash", _wear(energy["wear"])


def _per_day(energy: Mapping[str, Any], day: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    per_day = 86_400 / day["span_s"]
    causes = ", ".join(
        f"{cause} {day[f'{cause}_j'] * per_day:.0f}"
        for cause in ("radio", "keepalive", "bytes", "cpu", "flash")
    )
    agent, base = day["agent_j"] * per_day, day["base_j"] * per_day
    text = f"agent {agent:.0f} J a day ({causes}), board at idle {base:.0f}"
    yield "energy", f"{text}; estimated from {_hours(day['span_s'])}"
    if energy["battery_h"] is not None:
        yield "battery", f"a full one lasts {energy['battery_h']:.0f} h at that draw"


def _wear(wear: Mapping[str, Any]) -> str:
    rate, card, years = wear["written_mb_per_day"], wear["card_mb_per_day"], wear["years"]
    budget = f"budget {wear['budget_mb_per_day']:.0f}"
    if wear["written_bytes"] is None:
        return f"not measured: the kernel does not count; {budget} MB a day"
    if rate is None:
        return f"{wear['written_bytes'] / 1e6:.1f} MB so far, {budget} MB a day"
    parts = [f"{rate:.1f} MB a day, {budget}"]
    if wear["over_budget"]:
        parts[0] += ", OVER BUDGET"
    if card is not None:
        parts.append(f"whole card {card:.1f}")
    if years is not None:
        parts.append("a new card lasts " + (f"{years:.1f} years" if years < 100 else "> 100 years"))
    return "; ".join(parts)


def _hours(span_s: float) -> str:
    return f"{span_s / 3600:.1f} h" if span_s >= 3600 else f"{span_s / 60:.0f} min"
