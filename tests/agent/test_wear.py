"""Wear: rates, years and when they are judged."""

from __future__ import annotations

import pytest

from whimbrel_agent.profiles.library import load_profile
from whimbrel_agent.wear import LEAST_JUDGED_S, LEAST_TOLD_S, WearFigures, WearWatch, wear_of

FLASH = load_profile("pi-4").flash  # 29 TB, amplification 10, 200 MB a day
DAY_S = 86_400.0


def wear(
    span_s: float, written: int | None, card: int | None = None, total: int | None = 0
) -> WearFigures:
    return wear_of(
        FLASH, written_bytes=total, span_s=span_s, span_bytes=written, span_card_bytes=card
    )


def test_years_follow_from_endurance_and_amplification() -> None:
    figures = wear(DAY_S, 200_000_000)
    assert figures.written_mb_per_day == 200
    assert figures.years == pytest.approx(29e12 / (200e6 * 10 * 365.25))
    assert not figures.over_budget


def test_the_card_is_worn_by_everybody() -> None:
    figures = wear(DAY_S, 100_000_000, 1_000_000_000)
    assert figures.card_mb_per_day == 1000
    assert figures.years == pytest.approx(29e12 / (1e9 * 10 * 365.25))
    assert not figures.over_budget


def test_a_short_time_is_not_judged() -> None:
    short = LEAST_JUDGED_S - 1
    assert not wear(short, 10**9).over_budget
    assert wear(LEAST_JUDGED_S, 10**9).over_budget


def test_what_is_not_measured_is_not_judged() -> None:
    figures = wear(DAY_S, None, None, None)
    assert (figures.written_mb_per_day, figures.years, figures.over_budget) == (None, None, False)
    assert wear(DAY_S, 0).years is None


def test_a_start_is_no_rate() -> None:
    assert wear(LEAST_TOLD_S - 1, 16384, 10**6).years is None
    assert wear(LEAST_TOLD_S, 10**6).written_mb_per_day == 24


def test_one_warning_a_day() -> None:
    watch, over = WearWatch(), wear(DAY_S, 900_000_000)
    assert watch.warning(wear(DAY_S, 1), 0.0) is None
    first = watch.warning(over, 10.0)
    assert first is not None
    assert "900 MB a day" in first
    assert "8.8 years" in first
    assert watch.warning(over, DAY_S) is None
    assert watch.warning(over, DAY_S + 10.0) is not None
