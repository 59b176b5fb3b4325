"""Range sets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.sequences import MAX_SEQUENCE, RangeSet

ranges = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda r: (r[0], r[0] + r[1])),
    max_size=12,
)


def members(pairs: list[tuple[int, int]]) -> set[int]:
    return {n for first, last in pairs for n in range(first, last + 1)}


@given(ranges)
def test_it_holds_exactly_what_was_added(pairs: list[tuple[int, int]]) -> None:
    found = RangeSet(pairs)
    assert members(list(found)) == members(pairs)
    assert found.total == len(members(pairs))
    assert found.last == max(members(pairs), default=0)


@given(ranges)
def test_its_ranges_rise_and_never_touch(pairs: list[tuple[int, int]]) -> None:
    listed = list(RangeSet(pairs))
    assert all(a[1] + 1 < b[0] for a, b in pairwise(listed))


@given(ranges, st.integers(1, 70), st.integers(0, 20))
def test_questions_about_a_range_agree_with_a_plain_set(
    pairs: list[tuple[int, int]], first: int, more: int
) -> None:
    found, model = RangeSet(pairs), members(pairs)
    asked = set(range(first, first + more + 1))
    assert found.covers(first, first + more) == (asked <= model)
    assert found.overlaps(first, first + more) == bool(asked & model)
    assert members(found.missing(first, first + more)) == asked - model


@given(ranges, st.integers(1, 70), st.integers(0, 20))
def test_removing_takes_out_exactly_that(
    pairs: list[tuple[int, int]], first: int, more: int
) -> None:
    found = RangeSet(pairs)
    found.remove(first, first + more)
    assert members(list(found)) == members(pairs) - set(range(first, first + more + 1))


@given(ranges)
def test_the_high_water_is_the_end_of_the_run_from_one(pairs: list[tuple[int, int]]) -> None:
    model, water = members(pairs), 0
    while water + 1 in model:
        water += 1
    assert RangeSet(pairs).high_water == water


@given(ranges)
def test_bytes_come_back_the_same(pairs: list[tuple[int, int]]) -> None:
    found = RangeSet(pairs)
    assert RangeSet.from_bytes(found.to_bytes()) == found


@given(st.binary(max_size=40))
def test_any_bytes_end_in_a_set_or_a_protocol_error(data: bytes) -> None:
    try:
        found = RangeSet.from_bytes(data)
    except RemoteProtocolError:
        return
    assert RangeSet.from_bytes(found.to_bytes()) == found


def test_a_stream_without_holes_takes_a_few_bytes() -> None:
    assert len(RangeSet([(1, 2**40)]).to_bytes()) <= 8


def test_a_copy_is_independent() -> None:
    one = RangeSet([(1, 5)])
    two = one.copy()
    two.add(7, 9)
    assert list(one) == [(1, 5)]


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, MAX_SEQUENCE + 1)])
def test_a_range_outside_the_sequences_is_refused(first: int, last: int) -> None:
    with pytest.raises(LocalProtocolError):
        RangeSet().add(first, last)
