"""Flash wear: bytes written per day against a budget, and the years that the card then lasts.

Pure: what was written is measured by the kernel (:mod:`whimbrel_agent.energy.usage`), and the budget
and the card's endurance come from the profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whimbrel_agent.profiles.values import Flash

__all__ = ["LEAST_JUDGED_S", "LEAST_TOLD_S", "WearFigures", "WearWatch", "wear_of"]

MB: Final = 1_000_000
TB: Final = 10**12
_DAY_S: Final = 86_400.0
_YEAR_DAYS: Final = 365.25

LEAST_TOLD_S: Final = 3600.0
"""From a shorter time no daily rate is told: a start's own writes would look like a card's end."""

LEAST_JUDGED_S: Final = 6 * 3600.0
"""A shorter time is no day's sample: a start reads and seals a backlog, and would be a false alarm."""

WARN_EVERY_S: Final = _DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class WearFigures:
    """What is written, for status.

    Attributes:
        written_bytes: by the agent since it started; None where the kernel does not count.
        measured_s: the time that the daily figures were taken from, a day at most.
        written_mb_per_day: by the agent, 10^6 bytes a day at that rate; None: not measured, or for
            less than an hour.
        budget_mb_per_day: what the profile grants the agent.
        card_mb_per_day: by everybody, to the card that holds the buffer; None: the same.
        years: until the card's endurance is used up at that rate of everybody (of the agent alone
            where the card is not measured), from new; None: not measured or nothing written.
        over_budget: the agent writes more than the budget, and was measured long enough to say so.
    """

    written_bytes: int | None
    measured_s: float
    written_mb_per_day: float | None
    budget_mb_per_day: float
    card_mb_per_day: float | None
    years: float | None
    over_budget: bool


def wear_of(
    flash: Flash,
    *,
    written_bytes: int | None,
    span_s: float,
    span_bytes: int | None,
    span_card_bytes: int | None,
) -> WearFigures:
    """Judge what was written.

    Args:
        flash: budget and endurance.
        written_bytes: by the agent since its start.
        span_s: the last day, or as much of it as there was.
        span_bytes, span_card_bytes: written in that time by the agent, and by everybody.
    """
    rate = _mb_per_day(span_bytes, span_s)
    card_rate = _mb_per_day(span_card_bytes, span_s)
    budget = flash.budget_mb_per_day.value
    return WearFigures(
        written_bytes=written_bytes,
        measured_s=span_s,
        written_mb_per_day=rate,
        budget_mb_per_day=budget,
        card_mb_per_day=card_rate,
        years=years_left(flash, rate if card_rate is None else card_rate),
        over_budget=rate is not None and span_s >= LEAST_JUDGED_S and rate > budget,
    )


def years_left(flash: Flash, mb_per_day: float | None) -> float | None:
    """Return how long a new card bears that: endurance over rate times amplification."""
    if not mb_per_day:
        return None
    a_year = mb_per_day * MB * flash.write_amplification.value * _YEAR_DAYS
    return flash.endurance_tb.value * TB / a_year


def _mb_per_day(written_bytes: int | None, span_s: float) -> float | None:
    if written_bytes is None or span_s < LEAST_TOLD_S:
        return None
    return written_bytes / MB * _DAY_S / span_s


class WearWatch:
    """Decides when somebody should be warned: at most once a day while over budget."""

    def __init__(self) -> None:
        self._warned_s: float | None = None

    def warning(self, figures: WearFigures, now_s: float) -> str | None:
        """Return what to log, or None."""
        if not figures.over_budget or (
            self._warned_s is not None and now_s - self._warned_s < WARN_EVERY_S
        ):
            return None
        self._warned_s = now_s
        years = "" if figures.years is None else f"; a new card lasts {figures.years:.1f} years so"
        return (
            f"{figures.written_mb_per_day:.0f} MB a day are written to flash, the profile's budget "
            f"is {figures.budget_mb_per_day:.0f}{years}: a lane's durability_s, longer linger_s or "
            "larger batches write less, or set the budget of your own card in a profile"
        )
