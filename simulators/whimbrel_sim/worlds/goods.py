"""What a till's lines say of an article: follows from its number, so that it can be checked later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

_FIRST: Final = 70_000
_CHEAPER: Final = 97
"""Each so manieth line has another price than the article's."""


def line_of(article: int, number: int) -> dict[str, object]:
    """Return the fields of a sender's line.

    Args:
        article: from 0.
        number: of the line among the sender's.
    """
    drawn = hashlib.sha256(b"%d" % article).digest()
    price = (1 + drawn[0]) / 4
    return {
        "article": f"{_FIRST + article}",
        "name": f"article {drawn[1:12].hex()}",
        "price": price if number % _CHEAPER else price / 2,
    }


def is_true(data: Mapping[str, object], number: int) -> bool:
    """Say whether a line's fields are what its article has; what is no such line is."""
    article = data.get("article")
    if not isinstance(article, str) or not article.isdecimal():
        return article is None
    return line_of(int(article) - _FIRST, number).items() <= data.items()
