"""Replacing a named place of the running program, for good or for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_MISSING: Final = object()

_replaced: list[tuple[object, str, object]] = []


def put(owner: object, name: str, value: object) -> None:
    """Replace an attribute that must be there.

    Raises:
        AttributeError: it is not: the place has moved, and the fault would do nothing.
    """
    getattr(owner, name)
    _replaced.append((owner, name, vars(owner).get(name, _MISSING)))
    setattr(owner, name, value)


@contextmanager
def applied(apply: Callable[[], None]) -> Iterator[None]:
    """Replace what ``apply`` puts in place until the block ends."""
    before = len(_replaced)
    try:
        apply()
        yield
    finally:
        while len(_replaced) > before:
            owner, name, value = _replaced.pop()
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
