"""Shelves on scales: an event whenever somebody takes, puts back or fills up."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site
from .distributions import Geometric, Weighted
from .record import Drawn, Fields

__all__ = ["SHELF"]

_RECORD: Final = Fields(
    ticks=Geometric(excess=400, low=10),
    taken=Weighted((-1, 1, 2, 3), (6, 74, 14, 6)),
    noise_g=Weighted((-3, -2, -1, 0, 1, 2, 3), (2, 5, 12, 20, 12, 5, 2)),
)
_CAPACITY: Final = 40


class _Shelf:
    """How much lies there. It is filled up when less is left than somebody wants to take."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:
        self._article = site.articles[number * 7 % len(site.articles)]
        self._units = setup.randrange(10, _CAPACITY)

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell what lies there now; the scale is off by some grams."""
        filled = drawn["taken"] > self._units
        self._units = (_CAPACITY if filled else self._units) - drawn["taken"]
        return "shelf.weight", {
            "sku": self._article.sku,
            "units": self._units,
            "weight_g": self._units * self._article.weight_g + drawn["noise_g"],
            "error_g": drawn["noise_g"],
            "filled": filled,
        }


SHELF: Final = Kind(
    name="shelf",
    count=12,
    zone="aisles",
    record=_RECORD,
    pace=Pace(tick_ms=1_000, by_rush=True, only_open=True),
    start=_Shelf,
    telling=("units", "error_g"),
)
