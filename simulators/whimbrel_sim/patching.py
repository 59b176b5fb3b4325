"""Replacing a named place of the running program."""

from __future__ import annotations


def put(owner: object, name: str, value: object) -> None:
    """Replace an attribute that must be there.

    Raises:
        AttributeError: it is not: the place has moved, and the fault would do nothing.
    """
    getattr(owner, name)
    setattr(owner, name, value)
