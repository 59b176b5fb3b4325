"""What a store sells: its articles, drawn once from the seed and the store's name."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["ARTICLES", "Article", "draw_articles"]

ARTICLES: Final = 400
"""Different articles that a small store sells within days."""

_SORTS: Final = ("organic", "family", "classic", "fresh", "small", "light", "dark", "mild")
_GOODS: Final = (
    *("milk", "butter", "bread", "coffee", "tea", "apple juice", "oat flakes", "tomatoes"),
    *("rice", "pasta", "soap", "shampoo", "batteries", "candles", "chocolate", "biscuits"),
)
_SIZES: Final = (("250 g", 250), ("500 g", 500), ("1 kg", 1_000), ("1 l", 1_030), ("6 pcs", 420))
_TAXES_PERCENT: Final = (7, 19)


@dataclass(frozen=True, slots=True)
class Article:
    """One article; number, name, price and tax say nothing that the number does not."""

    sku: str
    name: str
    price: float
    tax_percent: int
    weight_g: int


def draw_articles(setup: Random) -> tuple[Article, ...]:
    """Draw a store's articles, the one that sells most first; their numbers all differ."""
    return tuple(_article(setup, place) for place in range(ARTICLES))


def _article(setup: Random, place: int) -> Article:
    size, weight_g = setup.choice(_SIZES)
    return Article(
        sku=f"{40_000_000 + place * 9_973 + setup.randrange(9_000)}",
        name=f"{setup.choice(_SORTS)} {setup.choice(_GOODS)} {size}",
        price=(setup.randrange(100, 4_000) // 50 * 50 - setup.choice((1, 5, 51))) / 100,
        tax_percent=setup.choice(_TAXES_PERCENT),
        weight_g=weight_g,
    )
