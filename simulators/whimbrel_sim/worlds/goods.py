"""What a till's lines say of an article: follows from its number, so that it can be checked later.

And what they come to: quantity times price, but for those that are reduced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

_FIRST: Final = 70_000
_CHEAPER: Final = 97
"""Each so manieth line has another price than the article's."""

_REDUCED: Final = 89
"""Each so manieth line comes to less than it should."""

_MOST: Final = 9


def line_of(article: int, number: int) -> dict[str, object]:
    """Return the fields of a sender's line.

    Args:
        article: from 0.
        number: of the line among the sender's.
    """
    drawn = hashlib.sha256(b"%d" % article).digest()
    price = (1 + drawn[0]) / 4
    if number % _CHEAPER == 0:
        price /= 2
    quantity = 1 + hashlib.sha256(b"%d %d" % (article, number)).digest()[0] % _MOST
    return {
        "article": f"{_FIRST + article}",
        "name": f"article {drawn[1:12].hex()}",
        "price": price,
        "quantity": quantity,
        "total": quantity * price - (0.0 if number % _REDUCED else 0.05),
    }


def is_true(data: Mapping[str, object], number: int) -> bool:
    """Say whether a line's fields are what its article has; what is no such line is."""
    article = data.get("article")
    if not isinstance(article, str) or not article.isdecimal():
        return article is None
    return line_of(int(article) - _FIRST, number).items() <= data.items()
