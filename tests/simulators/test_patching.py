"""Replacing places of the program, and putting back what was there."""

from __future__ import annotations

import pytest

from whimbrel_sim.patching import applied, put


class Base:
    def inherited(self) -> str:
        return "base"


class Place(Base):
    value = 1

    def method(self) -> str:
        return "own"


def test_a_place_that_has_moved_is_an_error() -> None:
    with pytest.raises(AttributeError):
        put(Place, "moved", 2)


def test_what_was_there_comes_back() -> None:
    def both() -> None:
        put(Place, "value", 2)
        put(Place, "value", 3)
        put(Place, "method", lambda _: "planted")

    with applied(both):
        during = (Place.value, Place().method())
    assert (during, (Place.value, Place().method())) == ((3, "planted"), (1, "own"))


def test_what_was_inherited_is_inherited_again() -> None:
    with applied(lambda: put(Place, "inherited", lambda _: "planted")):
        assert Place().inherited() == "planted"
    assert "inherited" not in vars(Place)


def test_a_failure_puts_back_too() -> None:
    def half() -> None:
        put(Place, "value", 2)
        put(Place, "moved", 2)

    with pytest.raises(AttributeError), applied(half):
        pass
    assert Place.value == 1
