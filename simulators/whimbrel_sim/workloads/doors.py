"""Doors that open and close, and counters of the people who pass."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .device import Kind, Pace, Site
from .distributions import Geometric, Markov, Weighted
from .record import Drawn, Fields, Switch

__all__ = ["DOOR", "PEOPLE"]

_STATE: Final = Markov({"open": Weighted(("closed",), (1,)), "closed": Weighted(("open",), (1,))})
"""To and fro: which comes next is no news, only when."""

_DOOR: Final = Switch(
    "state",
    _STATE,
    {
        "open": Fields(ticks=Geometric(excess=240, low=10)),
        "closed": Fields(ticks=Geometric(excess=15, low=6)),
    },
)
_PEOPLE: Final = Fields(
    ticks=Geometric(excess=45, low=2),
    way=Weighted(("in", "out"), (1, 1)),
    group=Weighted((1, 2, 3, 4, 5), (60, 26, 8, 5, 1)),
)


class _Door:
    """How often it was opened."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        self._openings = setup.randrange(100_000)

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell that it opened or closed."""
        is_open = drawn["state"] == "open"
        self._openings += is_open
        return "door.state", {"open": is_open, "openings": self._openings}


class _Counter:
    """Running totals of both ways."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:  # noqa: ARG002
        self._total = {"in": setup.randrange(100_000), "out": setup.randrange(100_000)}

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell a group that passed."""
        self._total[drawn["way"]] += drawn["group"]
        return "people.count", {
            "way": drawn["way"],
            "people": drawn["group"],
            "total_in": self._total["in"],
            "total_out": self._total["out"],
        }


DOOR: Final = Kind(
    name="door",
    count=2,
    zone="entrance",
    record=_DOOR,
    pace=Pace(tick_ms=500, by_rush=True, only_open=True),
    start=_Door,
    telling=("open",),
)

PEOPLE: Final = Kind(
    name="counter",
    count=3,
    zone="entrance",
    record=_PEOPLE,
    pace=Pace(tick_ms=500, by_rush=True, only_open=True),
    start=_Counter,
    telling=("way", "people"),
)
