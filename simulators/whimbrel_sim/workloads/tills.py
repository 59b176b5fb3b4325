"""Tills: lines of baskets, one after another, and now and then a void.

A till scans a line every few seconds, then waits for the next customer; both waits are shorter in
busy hours (more customers, and further tills that this one stands for). A basket has about six
lines, 96 % of its lines are kept. An event is one line, so a basket is known by its lines only.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from .catalogue import ARTICLES, Article
from .device import Kind, Pace, Site
from .distributions import Geometric, Markov, Weighted
from .record import Drawn, Fields, Switch

__all__ = ["TILL"]

_ACT: Final = Markov(
    {
        "line": Weighted(("line", "basket", "void"), (82, 17, 1)),
        "basket": Weighted(("line", "basket", "void"), (80, 19, 1)),
        "void": Weighted(("line", "basket"), (75, 25)),
    }
)
_SOLD: Final = {
    "article": Weighted.falling(ARTICLES, 0.8),
    "quantity": Weighted((1, 2, 3, 4, 5, 6, 8, 10, 12), (780, 120, 30, 25, 8, 25, 4, 5, 3)),
}
_CASHIERS: Final = 11
_SCAN: Final = Geometric(excess=35, low=8)
_NEXT_CUSTOMER: Final = Geometric(excess=600, low=150)
_CASHIER_STEP: Final = Weighted(range(_CASHIERS), (970, *([3] * (_CASHIERS - 1))))
"""0 for the same cashier: one number, so that every draw shows, which "who now" would not."""

_RECORD: Final = Switch(
    "act",
    _ACT,
    {
        "line": Fields(ticks=_SCAN, **_SOLD),
        "basket": Fields(ticks=_NEXT_CUSTOMER, cashier_step=_CASHIER_STEP, **_SOLD),
        "void": Fields(ticks=_SCAN),
    },
)


class _Till:
    """Basket, cashier and the last line, which is what a void takes back."""

    def __init__(self, setup: Random, number: int, site: Site) -> None:
        self._number = number
        self._articles = site.articles
        self._basket = setup.randrange(10_000, 90_000)
        self._cashier = setup.randrange(_CASHIERS)
        self._line: tuple[Article, int] = (site.articles[0], 1)

    def tell(self, drawn: Drawn, time_ms: int) -> tuple[str, dict[str, Any]]:  # noqa: ARG002
        """Tell a line, the first line of a basket, or a void."""
        act = drawn["act"]
        if act == "void":
            return "pos.void", self._data(-1)
        if act == "basket":
            self._basket += 1
            self._cashier = (self._cashier + drawn["cashier_step"]) % _CASHIERS
        self._line = self._articles[drawn["article"]], drawn["quantity"]
        return "pos.line", self._data(1)

    def _data(self, sign: int) -> dict[str, Any]:
        article, quantity = self._line
        return {
            "basket": f"{self._number}-{self._basket}",
            "sku": article.sku,
            "name": article.name,
            "quantity": quantity * sign,
            "price": article.price,
            "tax": article.tax_percent,
            "cashier": self._cashier + 1,
            "loyalty": None,
        }


TILL: Final = Kind(
    name="till",
    count=4,
    zone="front",
    record=_RECORD,
    pace=Pace(tick_ms=100, by_rush=True, only_open=True),
    start=_Till,
    telling=("basket", "sku", "quantity", "cashier"),
)
