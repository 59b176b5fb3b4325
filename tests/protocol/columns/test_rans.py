"""Symbols of known frequencies come back, in as many bytes as they tell, and damage shows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whimbrel_protocol.columns.rans import MAX_BITS, Share, ShareReader, write_shares
from whimbrel_protocol.errors import RemoteProtocolError


@st.composite
def some_shares(draw: st.DrawFn) -> Share:
    bits = draw(st.integers(0, MAX_BITS))
    start = draw(st.integers(0, (1 << bits) - 1))
    return start, draw(st.integers(1, (1 << bits) - start)), bits


def read_back(data: bytes, shares: Sequence[Share]) -> list[Share]:
    """What a reader makes of bytes that should be these shares, each one of up to three."""
    reader = ShareReader(data)
    found = []
    for start, size, bits in shares:
        parts = [part for part in (start, size, (1 << bits) - start - size) if part]
        starts = [sum(parts[:at]) for at in range(len(parts))]
        at = reader.symbol(starts, parts, bits)
        found.append((starts[at], parts[at], bits))
    reader.close()
    return found


def by_the_book(data: bytes, shares: Sequence[Share]) -> bool:
    """Whether bytes tell these shares, each step undone as the module's docstring says it is done."""
    state = int.from_bytes(data[:4], "big") if data else 1
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(4, len(data), 2)]
    for start, size, bits in shares:
        times, part = divmod(state, 2**bits)
        if not start <= part < start + size:
            return False
        state = size * times + part - start
        if state < 2**16 and words:
            state = state * 2**16 + words.pop(0)
    return state == 1 and not words


@settings(max_examples=200, deadline=None)
@given(st.lists(some_shares(), max_size=60))
def test_shares_come_back(shares: list[Share]) -> None:
    data = write_shares(shares)
    assert read_back(data, shares) == shares
    assert by_the_book(data, shares)


@pytest.mark.parametrize(
    ("shares", "data"),
    [
        ([], ""),
        ([(0, 1, 0), (0, 1 << 14, 14)], ""),  # what is certain tells nothing
        ([(1, 3, 2)], "02"),
        ([(1, 3, 2), (0, 1, 2), (1, 3, 2)], "0b"),  # 1, then 2, then 8, then 11
        ([(9, 1, 16)], "010009"),
        ([(5, 1, 16), (7, 1, 16), (9, 1, 16)], "00010005 0007 0009"),
        ([(1, 3, 2), (9, 1, 16), (8, 1, 15)], "aab55562"),  # 0x8008, 0x80080009, times 4 / 3
    ],
)
def test_the_bytes_are_those_that_are_published(shares: list[Share], data: str) -> None:
    assert write_shares(shares).hex() == data.replace(" ", "")


def test_a_symbol_or_a_few_have_no_words() -> None:
    assert len(write_shares([(3, 1, 4)] * 7)) <= 4
    assert ShareReader(write_shares([(3, 1, 4)] * 7)).words == []
    assert len(ShareReader(write_shares([(3, 1, 4)] * 13)).words) == 2


def skewed(count: int, seed: int = 1) -> list[Share]:
    """Symbols of nine, each a third as likely as the one before."""
    sizes = [10_923, 3_641, 1_213, 404, 135, 45, 15, 5, 3]
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    chosen = random.Random(seed).choices(range(len(sizes)), sizes, k=count)
    return [(starts[at], sizes[at], 14) for at in chosen]


@pytest.mark.parametrize("count", [1, 10, 100, 5_000])
def test_they_take_what_they_tell_and_two_bytes_or_so(count: int) -> None:
    shares = skewed(count)
    told_bits = sum(bits - log2(size) for _, size, bits in shares)
    assert told_bits / 8 - 1 < len(write_shares(shares)) < told_bits * 1.001 / 8 + 4


def test_numbers_come_in_pieces_the_low_ones_first() -> None:
    data = write_shares([(0xBEEF, 1, 16), (0xDEAD, 1, 16), (5, 1, 3), (1, 1, 1)])
    reader = ShareReader(data)
    assert (reader.number(35), reader.number(0), reader.number(1)) == (0x5DEADBEEF, 0, 1)
    reader.close()


@settings(max_examples=200, deadline=None)
@given(st.lists(some_shares(), min_size=1, max_size=30), st.data())
def test_what_was_cut_is_noticed_or_tells_something_else(
    shares: list[Share], data: st.DataObject
) -> None:
    whole = write_shares(shares)
    cut = whole[: data.draw(st.integers(0, max(0, len(whole) - 1)))]
    with suppress(RemoteProtocolError):
        assert read_back(cut, shares) != shares or cut == whole


@pytest.mark.parametrize("more", [b"\x00", b"\x00\x00", b"\x00\x01", b"\xff\xff" * 3])
@pytest.mark.parametrize("count", [9, 40])
def test_what_is_left_over_is_noticed(count: int, more: bytes) -> None:
    shares = skewed(count)
    with pytest.raises(RemoteProtocolError, match=r"end early|no state and words"):
        read_back(write_shares(shares) + more, shares)


def test_a_bit_that_changed_is_noticed_or_tells_something_else() -> None:
    shares = skewed(60)
    whole = write_shares(shares)
    noticed = 0
    for bit in range(8 * len(whole)):
        raw = bytearray(whole)
        raw[bit // 8] ^= 1 << bit % 8
        try:
            assert read_back(bytes(raw), shares) != shares
        except RemoteProtocolError:
            noticed += 1
    assert noticed > 0.9 * 8 * len(whole)  # a few only make the last symbols others


@pytest.mark.parametrize("size", [5, 7, 101])
def test_an_odd_number_of_bytes_is_no_state_and_words(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="no state and words"):
        ShareReader(bytes(size))


def test_past_the_end_there_is_something_and_close_says_so() -> None:
    reader = ShareReader(b"")
    assert reader.symbol([0, 1], [1, 3], 2) in {0, 1}
    assert reader.number(56) >= 0
    with pytest.raises(RemoteProtocolError, match="end early"):
        reader.close()


def test_a_word_that_no_symbol_asked_for_is_left_over() -> None:
    with pytest.raises(RemoteProtocolError, match="left over"):
        ShareReader(b"\x00\x01\x00\x00\x00\x05").close()


@pytest.mark.parametrize("data", [b"\x00", b"\x01", b"\0\0\0\x01", b"\0\0\xff\xff\0\x05"])
def test_a_state_that_is_never_written_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="begin with state"):
        ShareReader(data)
