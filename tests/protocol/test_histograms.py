"""Histograms of a dictionary: as bytes, and frames whose streams are coded by them."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counting import counted, counted_of
from damage.columns import read_damaged
from whimbrel_protocol.batch import columns_info, decode_events, encode_events
from whimbrel_protocol.columns.coder import Coder
from whimbrel_protocol.columns.column import read_column
from whimbrel_protocol.columns.histograms import (
    MAX_BIN_BITS,
    SHARE_BITS,
    Bin,
    Histogram,
    Histograms,
)
from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.kinds import TEXT
from whimbrel_protocol.columns.names import NameWriter
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint, put_zigzag
from whimbrel_protocol.columns.roster import Roster, series_of
from whimbrel_protocol.columns.texts import HEXADECIMAL, write_texts
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.dictionaries import (
    Dictionary,
    join_content,
    pack_dictionary,
    unpack_dictionary,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.formulas import Axis, Formula
from whimbrel_protocol.limits import MAX_BINS, MAX_HISTOGRAM_BINS, MAX_HISTOGRAMS
from whimbrel_protocol.shared import NOTHING_SHARED, Shared, read_shared, write_shared
from whimbrel_protocol.tables import Table
from whimbrel_protocol.zstdcodec import Level

WHOLE = 1 << SHARE_BITS
MS = 10**6

PRICES = Table("sale", "article", ("price",), {f"a{n:02}": (n + 0.25,) for n in range(40)})
TOTAL = Formula("sale", "total", Axis("n", 2.0, 2.0), Axis("price", 3.0, 3.0), 1, (1.0, 2.0, 3.0))


def line(chance: random.Random, n: int) -> Event:
    """A line of one of two tills: some articles often, few at a time, none at the same moment."""
    article = min(int(chance.expovariate(0.2)), 44)
    data: dict[str, Any] = {
        "article": f"a{article:02}",
        "n": min(1 + int(chance.expovariate(1)), 9),
        "price": article + 0.25,
        "card": f"{chance.getrandbits(64):016x}",
        "paid": chance.choice([None, None, None, True, False]),
    }
    time_ns = n * 9 * 10**9 + chance.randrange(5_000) * MS
    return Event(type="sale", source=f"till-{n % 2}", time_ns=time_ns, data=data)


def lines(count: int, seed: int = 1) -> list[Event]:
    chance = random.Random(seed)
    return [line(chance, n) for n in range(count)]


ROSTER = Roster(tuple(sorted({series_of(one) for one in lines(20)}, key=repr)))
LEARNED_FROM = [lines(60, seed) for seed in range(10, 18)]

BESIDE = {
    "alone": NOTHING_SHARED,
    "tables": Shared((PRICES,)),
    "formulas": Shared((), (TOTAL,)),
    "roster": Shared(roster=ROSTER),
    "all": Shared((PRICES,), (TOTAL,), ROSTER),
}


def with_histograms(beside: Shared) -> Shared:
    histograms = counted_of(LEARNED_FROM, beside)
    return Shared(beside.tables, beside.formulas, beside.roster, histograms)


SHARED = {name: with_histograms(beside) for name, beside in BESIDE.items()}
each_kind = pytest.mark.parametrize("beside", BESIDE)


# ------------------------------------------------------------------ as bytes


@each_kind
def test_histograms_travel_beside_whatever_else_is_shared(beside: str) -> None:
    shared = SHARED[beside]
    assert len(shared.histograms.all) > 4
    assert read_shared(write_shared(shared)) == shared
    dictionary = unpack_dictionary(pack_dictionary(join_content(b"", shared)))
    assert dictionary.shared == shared
    assert read_shared(write_shared(BESIDE["all"])) == BESIDE["all"]


texts = st.text(st.characters(codec="utf-8"), max_size=9)
numbers = st.integers(-(2**63), 2**63 - 1)


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    bins, start, left = [], 0, WHOLE - 1
    for _ in range(draw(st.integers(0, 9))):
        start += draw(st.integers(0, 3) | st.integers(0, 2**58))
        bits = draw(st.integers(0, MAX_BIN_BITS))
        bins.append(Bin(start, bits, draw(st.integers(1, left - 10))))
        start, left = start + (1 << bits), left - bins[-1].share
        if left < 20:
            break
    differences = draw(st.booleans())
    place = draw(texts), draw(texts), draw(st.integers(0, 255))
    before = draw(numbers) if differences else 0
    step = draw(st.integers(1, 2**64 - 1))
    return Histogram(place, differences, before, draw(numbers), step, tuple(bins))


@settings(max_examples=100, deadline=None)
@given(st.lists(histograms(), min_size=1, max_size=5, unique_by=lambda one: one.place))
def test_any_histograms_come_back_as_they_were(some: list[Histogram]) -> None:
    shared = Shared(histograms=Histograms(some))
    assert repr(read_shared(write_shared(shared)).histograms.all) == repr(tuple(some))


class Said(NamedTuple):
    """A histogram as bytes say it, whether it can be or not."""

    bins: Sequence[tuple[int, int, int]] = ((0, 0, 5_000), (3, 2, 5_000))
    """Of each the gap before it, bits and share."""
    nth: int = 0
    kind: int = 0
    step: int = 1


def said(*some: Said, count: int | None = None, more: bytes = b"") -> bytes:
    """A dictionary of nothing but histograms, which are said to be so many."""
    out = BodyWriter()
    names = NameWriter(out)
    out.head += bytes(4)  # tables, formulas, shapes and series
    put_varint(out.head, len(some) if count is None else count)
    for one in some:
        names.put("sale")
        names.put("n")
        put_varint(out.head, one.nth)
        out.head.append(one.kind)
        if one.kind:
            put_zigzag(out.head, -5)
        put_zigzag(out.head, 2)
        put_varint(out.head, one.step)
        put_varint(out.head, len(one.bins))
        for column in zip(*one.bins, strict=True):
            write_integers(out, column)
    out.head += more
    return out.finish()[0]


def many(count: int) -> tuple[tuple[int, int, int], ...]:
    return ((0, 0, 1),) * count


def test_what_can_be_is_read() -> None:
    [one] = read_shared(said(Said())).histograms.all
    assert one == Histogram(("sale", "n", 0), False, 0, 2, 1, (Bin(0, 0, 5_000), Bin(4, 2, 5_000)))
    [one] = read_shared(said(Said(kind=1, step=2**64 - 1, nth=255, bins=()))).histograms.all
    assert one == Histogram(("sale", "n", 255), True, -5, 2, 2**64 - 1, ())
    widest = (2**63 - 1, 0, 1), (2**63 - 2, 0, WHOLE - 2)
    [one] = read_shared(said(Said(widest))).histograms.all
    assert one.bins[-1].start == 2**64 - 2
    most = [Said(many(MAX_HISTOGRAM_BINS), nth) for nth in range(MAX_BINS // MAX_HISTOGRAM_BINS)]
    assert len(read_shared(said(*most)).histograms.all) == 4
    empty = [Said((), nth) for nth in range(MAX_HISTOGRAMS)]
    assert len(read_shared(said(*empty)).histograms.all) == MAX_HISTOGRAMS


FULL = [Said(many(MAX_HISTOGRAM_BINS), nth) for nth in range(4)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (said(), "names no histograms"),
        (said(Said(), count=0), "no histograms|left over"),
        (said(Said(), count=2), "end early"),
        (said(Said(), count=129), "number of histograms is 129"),
        (said(Said(), Said()), "two of one place"),
        (said(Said(), Said(kind=1)), "two of one place"),
        (said(Said(nth=1_024)), "number of a stream is 1024"),
        (said(Said(kind=2)), "kind of a histogram is 2"),
        (said(Said(step=0)), "step of a histogram is 0"),
        (said(Said(many(1_025))), "bins of a histogram is 1025"),
        (said(*FULL, Said(many(1), nth=9)), "bins of a histogram is 1"),
        (said(Said([(0, 0, 9), (-1, 0, 9)])), "overlap"),
        (said(Said([(-1, 0, 9)])), "overlap"),
        (said(Said([(0, 57, 9)])), "too wide"),
        (said(Said([(0, 5, 9), (0, -1, 9)])), "too wide"),
        (said(Said([(0, 0, 0)])), "shares of a histogram are 0"),
        (said(Said([(0, 0, -3), (0, 0, 9)])), "shares of a histogram are 6"),
        (said(Said([(0, 0, WHOLE)])), "shares of a histogram are 16384"),
        (said(Said([(0, 0, WHOLE - 1), (0, 0, 1)])), "shares of a histogram are 16384"),
        (said(Said([(0, 0, 2**62)] * 4)), "shares of a histogram are"),
        (said(Said([(2**63 - 1, 0, 1), (2**63 - 1, 0, 1)])), "beyond 64 bits"),
        (said(Said([(2**63 - 1, 56, 1), (2**63 - 1, 56, 1)])), "beyond 64 bits"),
        (said(Said(), more=b"\x00"), "left over"),
        (said(Said()) + b"\x00", "left over"),
        (said(Said())[:-1], "end early"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_histograms_that_cannot_be_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        read_shared(data)


def test_a_dictionary_s_own_streams_are_not_coded() -> None:
    out = BodyWriter()
    NameWriter(out)
    out.head += bytes([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0x08])  # form CODED, histogram 0
    with pytest.raises(RemoteProtocolError, match="coded by histogram 0: there are 0"):
        read_shared(out.finish()[0])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_histograms_are_refused_or_are_others(data: st.DataObject) -> None:
    raw = bytearray(said(Said(), Said(kind=1, nth=3), Said((), 7, step=9)))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        shared = read_shared(bytes(raw))
        assert read_shared(write_shared(shared)) == shared


@pytest.mark.parametrize(
    "some",
    [
        [Histogram(("t", "k", n), False, 0, 0, 1, ()) for n in range(MAX_HISTOGRAMS)],
        [
            Histogram(
                ("t", f"key {n}", 0), False, n, 2**62 + n, 1,
                tuple(Bin(2**40 + k * 5_000, 11, 15) for k in range(MAX_HISTOGRAM_BINS)),
            )
            for n in range(4)
        ],
    ],
    ids=["no bins", "many bins"],
)  # fmt: skip
def test_it_takes_no_more_memory_than_it_says(some: list[Histogram]) -> None:
    content = join_content(b"", Shared(histograms=Histograms(some)))
    tracemalloc.start()
    try:
        dictionary = Dictionary(content)
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken_bytes <= dictionary.memory_bytes


# ------------------------------------------------------------------ frames


def dictionary_of(shared: Shared) -> Dictionary:
    return Dictionary(join_content(b"", shared))


@each_kind
@pytest.mark.parametrize("count", [0, 1, 2, 7, 60, 400])
def test_frames_come_back_exactly(beside: str, count: int) -> None:
    events, dictionary = lines(count), dictionary_of(SHARED[beside])
    columns = encode_events(events, dictionary=dictionary)
    assert repr(decode_events(columns, {dictionary.name: dictionary})) == repr(events)
    light = encode_events(events, dictionary=dictionary, light=True)
    assert repr(decode_events(light, {dictionary.name: dictionary})) == repr(events)


@each_kind
@pytest.mark.parametrize("count", [60, 400])
def test_frames_are_smaller_than_without_histograms(beside: str, count: int) -> None:
    events = lines(count)
    columns = encode_events(events, dictionary=dictionary_of(SHARED[beside]))
    assert columns_info(columns)[0] == "zstd-tables"
    known = BESIDE[beside]
    without = encode_events(events, dictionary=dictionary_of(known) if known else None)
    assert len(columns) < 0.96 * len(without)  # the cards are most of both


def test_a_frame_of_other_values_comes_back() -> None:
    dictionary = dictionary_of(SHARED["all"])
    events = lines(80)
    for number, event in enumerate(events[::7]):
        event.data["n"] = [2**62, -(2**63), 2**63 - 1, 0][number % 4]
        event.data["article"] = f"new {number}"
        event.data["card"] = ["", "0", "\0", "é"][number % 4]
        event.data["price"] = [0.1 + 0.2, float("inf"), -0.0, 5e-324][number % 4]
    columns = encode_events(events, dictionary=dictionary)
    assert repr(decode_events(columns, {dictionary.name: dictionary})) == repr(events)


class Picked(NamedTuple):
    codec: str
    level: Level = Level.FULL


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_another_codec_knows_nothing_of_histograms(codec: str) -> None:
    events, dictionary = lines(60), dictionary_of(SHARED["all"])
    columns = encode_events(events, dictionary=dictionary, pick=lambda _: Picked(codec))
    assert columns_info(columns)[0] == codec
    assert columns == encode_events(events, codec=codec)
    assert decode_events(columns) == events


def test_a_frame_of_no_events_needs_no_dictionary() -> None:
    columns = encode_events([], dictionary=dictionary_of(SHARED["all"]))
    assert columns == encode_events([])
    assert decode_events(columns) == []


def raw_of(count: int = 40, beside: str = "all") -> bytes:
    return write_body(lines(count), 2, shared=SHARED[beside]).raw


def without(shared: Shared, left: int) -> Shared:
    histograms = Histograms(shared.histograms.all[:left])
    return Shared(shared.tables, shared.formulas, shared.roster, histograms)


def test_a_histogram_that_is_not_there_is_refused() -> None:
    assert read_body(raw_of(), SHARED["all"]) == lines(40)
    with pytest.raises(RemoteProtocolError, match="there are 1"):
        read_body(raw_of(), without(SHARED["all"], 1))
    with pytest.raises(RemoteProtocolError):
        read_body(raw_of(), BESIDE["all"])


@each_kind
def test_coded_bytes_that_are_left_over_or_missing_are_refused(beside: str) -> None:
    raw, shared = raw_of(beside=beside), SHARED[beside]
    for other in (raw + b"\x00\x00", raw + b"\x00", raw[:-1], raw[:-2], raw[:-9]):
        with pytest.raises(RemoteProtocolError):
            read_body(other, shared)


@each_kind
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_frames_are_refused_or_are_other_events(beside: str, data: st.DataObject) -> None:
    read_damaged(data, raw_of(data.draw(st.sampled_from([3, 24])), beside), SHARED[beside])


@pytest.mark.parametrize("number", [0, 15, 16, 127])
def test_a_stream_names_any_of_128_histograms(number: int) -> None:
    values = [n % 3 for n in range(90)]
    some = [counted([n, n + 1, n + 2], ("sale", f"k{n}", 0)) for n in range(MAX_HISTOGRAMS)]
    some[number] = counted(values, ("sale", f"k{number}", 0))
    out = BodyWriter(coder=Coder(Histograms(some)))
    assert out.coder is not None
    out.coder.begin("sale", f"k{number}")
    write_integers(out, values)
    assert len(out.head) == 1
    body = BodyReader(out.finish()[0], histograms=Histograms(some))
    assert read_integers(body, 90) == values
    body.close()


def test_what_a_histogram_does_not_fit_is_written_otherwise_and_noted() -> None:
    out = BodyWriter(coder=Coder(Histograms([counted([1, 2, 3, 4])])))
    assert out.coder is not None
    out.coder.begin("sale", "n")
    far = [2**40 + n * 60 for n in range(50)]
    write_integers(out, far)
    assert [(one.place, one.values) for one in out.coder.noted] == [(("sale", "n", 0), far)]
    assert out.coder.finish() == b""


def peak_of(raw: bytes, shared: Shared) -> int:
    tracemalloc.start()
    try:
        read_body(raw, shared)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_values_of_next_to_no_bits_take_the_memory_of_constants() -> None:
    def events(value: int) -> list[Event]:
        data = {f"k{n}": value for n in range(8)}
        return [Event(type="t", source="s", time_ns=7, data=data) for _ in range(10_000)]

    sure = tuple(Bin(n, 0, WHOLE - 2 if n == 0 else 1) for n in range(2))
    known = Histograms(
        [
            Histogram(("", "", 0), False, 0, 7, 1, sure),
            *(Histogram(("t", f"k{n}", 0), False, 0, 2**40, 1, sure) for n in range(8)),
        ]
    )
    shared = Shared(histograms=known)
    coded = write_body(events(2**40), 2, shared=shared).raw
    constant = write_body(events(2**40), 2).raw
    assert len(coded) < 120
    assert peak_of(coded, shared) < 1.6 * peak_of(constant, NOTHING_SHARED) + 10_000 * 8 * 40


def test_numbers_far_beyond_64_bits_on_the_way_do_not_pile_up() -> None:
    wide = Histogram(("t", "k", 0), True, -5, 2**62, 2**64 - 1, (Bin(2**62, 56, WHOLE - 1),))
    body = BodyReader(bytes([1, 0, 0, 0, 0x08]), histograms=Histograms([wide]))
    tracemalloc.start()
    try:
        values = read_integers(body, 10_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert min(values) >= -(2**63)
    assert max(values) < 2**63
    assert peak_bytes < 3_000_000


# ------------------------------------------------------------------ hexadecimal texts


ANY = Histograms([counted([1, 2, 3])])


def hexadecimal(values: list[str]) -> bytes:
    out = BodyWriter(coder=Coder(ANY))
    write_texts(out, values)
    raw = out.finish()[0]
    body = BodyReader(raw, histograms=ANY)
    assert read_column(body, len(values)) == values
    body.close()
    return raw


@pytest.mark.parametrize(
    "values",
    [
        [f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in range(40)],
        [f"{n * 0x9E3779B9 % 2**32:08x}" for n in range(40)],
        [f"{n:012x}" for n in range(40)],
        ["ffffffffffffffff", "0000000000000000", "8000000000000000", "7fffffffffffffff"],
        ["a", "b", "0", "f", "9"],
        ["00a", "00b", "000", "00a", "00c"],
    ],
)
def test_hexadecimal_texts_are_numbers(values: list[str]) -> None:
    raw = hexadecimal(values)
    assert not any(text.encode() in raw for text in values if len(text) > 2)
    head = BodyReader(raw, histograms=ANY).head.take(4)
    assert head == bytes([TEXT, HEXADECIMAL, len(set(values)), len(values[0])])
    plain = BodyWriter()
    write_texts(plain, values)  # a reader without histograms is not asked to know of them
    assert read_column(BodyReader(plain.finish()[0]), len(values)) == values


@pytest.mark.parametrize(
    "values",
    [
        ["a0", "b", "c0", "d0"],
        ["A0", "b0", "c0", "d0"],
        ["g0", "b0", "c0", "d0"],
        ["", "b0", "c0", "d0"],
        [f"{n:017x}" for n in range(10, 20)],
        ["ab", "cd"],
        ["a0\0", "b0\0", "c0\0", "d0\0"],
        ["٣a", "٣b", "٣c", "٣d"],
    ],
)
def test_texts_that_are_no_such_numbers_are_texts(values: list[str]) -> None:
    assert max(values).encode() in hexadecimal(values)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 17).flatmap(
        lambda width: st.lists(
            st.text("0123456789abcdef", min_size=width, max_size=width), min_size=1, max_size=20
        )
    )
)
def test_any_digits_come_back(values: list[str]) -> None:
    hexadecimal(values)


def digits(width: int, values: list[int], *, histograms: bool = True) -> BodyReader:
    out = BodyWriter(coder=Coder(ANY) if histograms else None)
    out.head += bytes([TEXT, HEXADECIMAL, len(values), width])
    write_integers(out, values)
    write_integers(out, [0] * len(values))
    return BodyReader(out.finish()[0], histograms=ANY if histograms else Histograms())


def test_hexadecimal_texts_that_cannot_be_are_refused() -> None:
    assert read_column(digits(2, [1, 0xFF, 7, 9]), 4) == ["01", "ff", "07", "09"]
    for body, why in (
        (digits(2, [1, 0xFF, 7, 9], histograms=False), "text form is 5"),
        (digits(0, [1, 2, 3, 4]), "0 hexadecimal digits"),
        (digits(17, [1, 2, 3, 4]), "17 hexadecimal digits"),
        (digits(2, [1, 2, 256, 3]), "more than 2"),
        (digits(15, [1, 2, -1, 3]), "more than 15"),
    ):
        with pytest.raises(RemoteProtocolError, match=why):
            read_column(body, 4)
