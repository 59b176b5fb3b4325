"""Screens: a spot every quarter of a minute while the store is open, and what became of it."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site
from .distributions import Geometric, Markov, UniformInteger, Weighted
from .record import Drawn, Fields, Switch

__all__ = ["SIGNAGE"]

_SPOTS: Final = 24
_REASONS: Final = ("decode", "missing", "timeout")
_OUTCOME: Final = Markov(
    {
        "played": Weighted(("played", "skipped", "failed"), (9_940, 40, 20)),
        "skipped": Weighted(("played", "skipped"), (95, 5)),
        "failed": Weighted(("played", "failed"), (60, 40)),
    }
)
"""Failures come in rows."""

_RECORD: Final = Switch(
    "outcome",
    _OUTCOME,
    {
        "played": Fields(frames_lost=Geometric(excess=0.3)),
        "skipped": Fields(),
        "failed": Fields(reason=Weighted(_REASONS, (5, 3, 2))),
    },
    always=Fields(ticks=UniformInteger(-16, 16)),
)


class _Screen:
    """A playlist in a fixed order: which spot comes is known."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        order = [f"spot-{spot:03d}" for spot in range(_SPOTS)]
        setup.shuffle(order)
        self._playlist = order
        self._at = 0

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell what became of the next spot."""
        outcome = drawn["outcome"]
        spot = self._playlist[self._at % _SPOTS]
        self._at += 1
        return "signage.play", {
            "spot": spot,
            "outcome": outcome,
            "frames_lost": drawn["frames_lost"] if outcome == "played" else None,
            "reason": drawn["reason"] if outcome == "failed" else None,
        }


SIGNAGE: Final = Kind(
    name="screen",
    count=4,
    zone="signage",
    record=_RECORD,
    pace=Pace(period_ms=15_000, only_open=True),
    start=_Screen,
    telling=("outcome", "frames_lost", "reason"),
)
