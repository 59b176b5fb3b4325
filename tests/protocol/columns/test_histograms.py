"""Values of any kind come back by any histogram, and it knows beforehand what they cost."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counting import PLACE, counted
from whimbrel_protocol.columns.histograms import SHARE_BITS, Bin, Histogram, Histograms
from whimbrel_protocol.columns.rans import ShareReader, write_shares
from whimbrel_protocol.errors import RemoteProtocolError

WHOLE = 1 << SHARE_BITS
INT64 = st.integers(-(2**63), 2**63 - 1)


def made(*bins: tuple[int, int, int], base: int = 0, step: int = 1) -> Histogram:
    return Histogram(PLACE, False, 0, base, step, tuple(Bin(*one) for one in bins))


def of_differences(*bins: tuple[int, int, int], before: int = 0, step: int = 1) -> Histogram:
    return Histogram(PLACE, True, before, 0, step, tuple(Bin(*one) for one in bins))


def through(histogram: Histogram, values: Sequence[int]) -> bytes:
    """Code values, and see that they come back."""
    placed = histogram.place_values(values)
    data = write_shares([*histogram.shares(placed)])
    reader = ShareReader(data)
    assert histogram.read(reader, len(values)) == list(values)
    reader.close()
    return data


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    bins: list[Bin] = []
    start = 0
    left = WHOLE - 1
    for _ in range(draw(st.integers(0, 12))):
        bits = draw(st.sampled_from([0, 0, 1, 3, 15, 16, 17, 32, 33, 40, 56]))
        start += draw(st.integers(0, 2) | st.integers(0, 2**40))
        share = draw(st.integers(1, max(1, left - 20)))
        left -= share
        bins.append(Bin(start, bits, share))
        start += 1 << bits
    step = draw(st.sampled_from([1, 1, 2, 7, 10**6, 2**40, 2**64 - 1]))
    return Histogram(PLACE, draw(st.booleans()), draw(INT64), draw(INT64), step, tuple(bins))


@settings(max_examples=300, deadline=None)
@given(histograms(), st.data())
def test_any_values_come_back_by_any_histogram(one: Histogram, data: st.DataObject) -> None:
    values = INT64 | st.integers(-3, 40)
    if one.bins:  # mostly what it knows
        inside = st.sampled_from(one.bins).flatmap(
            lambda at: st.integers(at.start, at.start + (1 << at.bits) - 1)
        )
        known = inside.map(lambda number: (one.base + number * one.step + 2**63) % 2**64 - 2**63)
        values = known | values
    through(one, data.draw(st.lists(values, min_size=1, max_size=40)))


@pytest.mark.parametrize("bits", [0, 1, 16, 17, 32, 33, 40, 56])
def test_a_bin_has_its_first_and_last_number_and_not_the_next(bits: int) -> None:
    one = made((5, bits, 9_000), base=-3, step=4)
    first, last = 5, 5 + (1 << bits) - 1
    values = [number * 4 - 3 for number in (first - 1, first, last, last + 1)]
    assert list(one.place_values(values).bins) == [1, 0, 0, 1]
    assert list(one.place_values([first * 4 - 2]).bins) == [1]  # between two numbers
    through(one, values)


def test_what_is_in_no_bin_costs_more_and_comes_back() -> None:
    one = made((0, 0, 9_000), (1, 0, 5_000))
    assert one.place_values([0, 1] * 50).cost_bits < 130
    for strange in (2, -1, 2**62, -(2**63), 2**63 - 1):
        assert len(through(one, [0, strange, 1])) > 1
        extra = one.place_values([0, strange, 1]).cost_bits - one.place_values([0, 1]).cost_bits
        assert 7 + (abs(strange) * 2).bit_length() <= extra + 1 < 88


@pytest.mark.parametrize("values", [[0], [-(2**63), 2**63 - 1], [7, 7, 7]])
def test_a_histogram_of_no_bins_codes_all_as_far_away(values: list[int]) -> None:
    through(made(), values)
    through(of_differences(), values)


def test_differences_go_around_at_the_end_of_64_bits() -> None:
    one = of_differences((1, 0, 16_000), before=2**63 - 3)
    values = [2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1]
    assert list(one.place_values(values).bins) == [0, 0, 0, 0]
    assert len(through(one, values)) <= 1
    far = [-(2**63), 2**63 - 1] * 3
    through(one, far)


def test_steady_differences_cost_next_to_nothing() -> None:
    one = of_differences((60, 0, 16_000), before=1_000, step=1)
    assert len(through(one, [1_060 + 60 * n for n in range(1_000)])) < 10


def test_gaps_between_bins_and_before_the_first_are_outside() -> None:
    one = made((10, 0, 4_000), (20, 2, 4_000), (2_000_000, 1, 4_000))
    told = one.place_values([9, 10, 11, 19, 20, 23, 24, 1_999_999, 2_000_001, 2_000_002]).bins
    assert list(told) == [3, 0, 3, 3, 1, 1, 3, 3, 2, 3]
    near = made((10, 0, 4_000), (20, 2, 4_000))  # few numbers are found in another way
    assert list(near.place_values([-1, 9, 10, 11, 19, 20, 23, 24]).bins) == [2, 2, 0, 2, 2, 1, 1, 2]
    assert list(near.place_values([10, 21, 15]).bins) == [0, 1, 2]


@pytest.mark.parametrize("count", [255, 256, 1_000])
def test_more_bins_than_a_byte_counts(count: int) -> None:
    one = made(*((n, 0, 15) for n in range(count)))
    values = [*range(count), count, -1]
    assert list(one.place_values(values).bins) == [*range(count), count, count]
    through(one, values)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-20, 20) | INT64, min_size=1, max_size=80), st.booleans())
def test_counted_values_come_back(values: list[int], differences: bool) -> None:
    through(counted(values, differences=differences), values)


def near(value: int, reach: int) -> list[int]:
    chosen = random.Random(5)
    return [value + int(chosen.gauss(0, reach)) for _ in range(2_000)]


@pytest.mark.parametrize(
    ("one", "values"),
    [
        (counted(near(70, 9)), near(70, 9)),
        (counted(near(70, 9)[:200]), near(70, 9)),  # some come from outside
        (made((0, 20, 9_000), (1 << 30, 20, 5_000)), [n * 517 for n in range(2_000)]),
        (of_differences((0, 6, 15_000)), [*accumulate(abs(n) % 64 for n in near(30, 9))]),
        (made((0, 3, 3)), [n % 8 for n in range(500)]),  # where it does not fit
    ],
)
def test_it_says_what_values_cost(one: Histogram, values: list[int]) -> None:
    cost_bits = one.place_values(values).cost_bits
    assert -8 <= 8 * len(through(one, values)) - cost_bits < 32 + cost_bits / 200


def test_how_many_bits_a_value_has_is_its_entropy() -> None:
    even = made(*((n, 0, WHOLE // 4 - (n == 3)) for n in range(4)))
    assert even.bits_a_value == pytest.approx(2, abs=0.01)
    assert made((0, 8, WHOLE - 1)).bits_a_value == pytest.approx(8, abs=0.01)
    uneven = made((0, 0, WHOLE * 3 // 4), (1, 0, WHOLE // 4 - 1))
    entropy = 0.75 * log2(4 / 3) + 0.25 * 2
    assert uneven.bits_a_value == pytest.approx(entropy, abs=0.01)
    values = [int(n % 4 == 3) for n in range(4_000)]
    assert uneven.place_values(values).cost_bits / 4_000 == pytest.approx(entropy, abs=0.01)


def test_a_length_that_cannot_be_is_refused() -> None:
    one = made((0, 0, 1))
    data = write_shares([(1, WHOLE - 1, SHARE_BITS), (65, 1, 7)])
    with pytest.raises(RemoteProtocolError, match="65 bits"):
        one.read(ShareReader(data), 1)


@settings(max_examples=200, deadline=None)
@given(histograms(), st.binary(max_size=40), st.integers(1, 60))
def test_any_bytes_are_refused_or_are_values_of_64_bits(
    one: Histogram, data: bytes, count: int
) -> None:
    try:
        values = one.read(ShareReader(data), count)
    except RemoteProtocolError:
        return
    assert len(values) == count
    assert min(values) >= -(2**63)
    assert max(values) < 2**63


def test_histograms_are_found_by_their_places() -> None:
    all_of_them = [counted([n, n], ("t", "k", n)) for n in range(3)]
    found = Histograms(all_of_them)
    assert found.by_place == {("t", "k", n): n for n in range(3)}
    assert found == Histograms(all_of_them)
    assert found != Histograms(all_of_them[1:])
    assert not Histograms()
