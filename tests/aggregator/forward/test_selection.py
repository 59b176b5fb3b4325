from __future__ import annotations

import pytest

from whimbrel_aggregator.forward.selection import MAX_PATTERNS, Selection
from whimbrel_protocol.errors import FieldError


def test_without_patterns_everything_is_taken() -> None:
    everything = Selection.of()
    assert everything.takes_partition("acme", "store-1")
    assert everything.takes_zones(())
    assert everything.takes_event(None, "pos.line")


def test_one_pattern_of_a_list_must_match() -> None:
    some = Selection.of(tenants=["acme"], stores=["store-1?", "depot"], types=["pos.*", "door"])
    assert some.takes_partition("acme", "store-12")
    assert some.takes_partition("acme", "depot")
    assert not some.takes_partition("acme", "store-1")
    assert not some.takes_partition("other", "depot")
    assert some.takes_event("front", "pos.line")
    assert not some.takes_event("front", "doors")


def test_an_event_without_zone_is_not_in_any_zone() -> None:
    front = Selection.of(zones=["*"])
    assert not front.takes_event(None, "pos.line")
    assert not front.takes_zones(())
    assert front.takes_zones(("back",))


def test_only_star_and_question_mark_are_wild() -> None:
    literal = Selection.of(types=["a[bc].+d*"])
    assert literal.takes_event(None, "a[bc].+d/e")
    assert not literal.takes_event(None, "ab.+d")


def test_many_stars_cost_no_more_than_time_in_proportion() -> None:
    many = Selection.of(types=["*a" * 40])
    assert not many.takes_event(None, "a" * 39 + "b" * 200)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenants": ["Acme"]},
        {"stores": ["store 1"]},
        {"zones": [""]},
        {"types": [""]},
        {"types": ["x" * 257]},
        {"stores": ["s"] * (MAX_PATTERNS + 1)},
    ],
)
def test_a_pattern_that_can_match_nothing_is_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(FieldError) as caught:
        Selection.of(**wrong, where="forward.select")
    assert caught.value.field.startswith("forward.select.")
