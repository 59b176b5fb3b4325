"""Formulas of a dictionary, and columns that are computed by them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage.columns import read_damaged
from whimbrel_protocol.batch import columns_info, decode_events, encode_events, uncompressed
from whimbrel_protocol.columns import computing
from whimbrel_protocol.columns.names import NameWriter
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import BodyWriter, put_varint
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.dictionaries import (
    Dictionary,
    join_content,
    pack_dictionary,
    unpack_dictionary,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.formulas import Axis, Formula, powers_of, put_formula
from whimbrel_protocol.lead import read_lead
from whimbrel_protocol.limits import MAX_FORMULAS
from whimbrel_protocol.shared import Shared, read_shared, write_shared
from whimbrel_protocol.tables import Table


def product_of(event_type: str, key: str, first: str, second: str) -> Formula:
    """The product of two keys: (2 + 2u)(3 + 3v) with u = a / 2 - 1, v = b / 3 - 1."""
    parts = {(0, 0): 6.0, (1, 0): 6.0, (0, 1): 6.0, (1, 1): 6.0}
    coefficients = tuple(parts.get(powers, 0.0) for powers in powers_of(2))
    return Formula(event_type, key, Axis(first, 2.0, 2.0), Axis(second, 3.0, 3.0), 2, coefficients)


TOTAL = product_of("sale", "total", "quantity", "price")
COUNT = product_of("pack", "pieces", "boxes", "each")
PRICES = Table("sale", "article", ("price",), {f"a{n}": (n * 1.37 + 0.25,) for n in range(40)})
PRICES = replace(PRICES, rows={key: (round(row[0], 2),) for key, row in PRICES.rows.items()})
BOTH = Dictionary(join_content(b"", Shared((PRICES,), (TOTAL, COUNT))))
HAND = {BOTH.name: BOTH}


def events_of(event_type: str, rows: Iterable[dict[str, Any]], **changes: Any) -> list[Event]:
    """Events with this data; a change replaces a field of each tenth."""
    return [
        Event(
            type=event_type,
            source="s",
            time_ns=number * 10**9,
            data=data | (changes if number % 10 == 3 else {}),
        )
        for number, data in enumerate(rows)
    ]


def sales(count: int, **changes: Any) -> list[Event]:
    """Lines with their totals."""
    chosen = random.Random(count)

    def line() -> dict[str, Any]:
        article = chosen.choice(sorted(PRICES.rows))
        (price,), quantity = PRICES.rows[article], chosen.randrange(1, 9)
        return {
            "total": round(price * quantity, 2), "quantity": quantity, "price": price,
            "article": article,
        }  # fmt: skip

    return events_of("sale", (line() for _ in range(count)), **changes)


def packs(count: int, **changes: Any) -> list[Event]:
    """Boxes of so many pieces each."""
    chosen = random.Random(count)

    def pack() -> dict[str, Any]:
        boxes, each = chosen.randrange(1, 2_000), chosen.randrange(1, 5_000)
        return {"boxes": boxes, "each": each, "pieces": boxes * each}

    return events_of("pack", (pack() for _ in range(count)), **changes)


# ------------------------------------------------------------------ what a formula says


def test_a_formula_is_summed_in_the_order_that_is_published() -> None:
    coefficients = tuple(0.1 * n - 0.7 for n in range(10))
    formula = Formula("t", "k", Axis("a", 20.0, 3.0), Axis("b", 40.0, 7.0), 3, coefficients)
    for first, second in ((18.3, 41.7), (22.9, 33.3), (20, 47)):
        u, v = (first - 20.0) / 3.0, (second - 40.0) / 7.0
        tu = [1.0, u, 2 * u * u - 1.0]
        tv = [1.0, v, 2 * v * v - 1.0]
        tu.append(2 * u * tu[2] - tu[1])
        tv.append(2 * v * tv[2] - tv[1])
        p = 0.0
        for coefficient, (i, j) in zip(coefficients, powers_of(3), strict=True):
            p += coefficient * tu[i] * tv[j]
        assert formula.predict([float(first)], [float(second)]) == [p]


def test_a_product_is_told_exactly() -> None:
    values = [(3.0, 5.0), (0.0, 7.0), (-4.0, 2.5)]
    assert TOTAL.predict(*zip(*values, strict=True)) == [a * b for a, b in values]


# ------------------------------------------------------------------ as bytes


doubles = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@st.composite
def formulas(draw: st.DrawFn) -> Formula:
    key, first, second = draw(st.lists(names, min_size=3, max_size=3, unique=True))
    degree = draw(st.integers(1, 6))
    halves = st.floats(1e-9, 1e9)
    count = len(powers_of(degree))
    return Formula(
        draw(names),
        key,
        Axis(first, draw(doubles), draw(halves)),
        Axis(draw(st.sampled_from([first, second])), draw(doubles), draw(halves)),
        degree,
        tuple(draw(st.lists(doubles, min_size=count, max_size=count))),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(formulas(), min_size=1, max_size=3), st.booleans())
def test_formulas_come_back_as_they_were(given_formulas: list[Formula], with_tables: bool) -> None:
    shared = Shared((PRICES,) if with_tables else (), tuple(given_formulas))
    assert repr(read_shared(write_shared(shared))) == repr(shared)


def written(formula: Formula, *, count: int = 1) -> bytes:
    out = BodyWriter()
    known = NameWriter(out)
    put_varint(out.head, 0)
    put_varint(out.head, count)
    put_formula(out, known, formula)
    return out.finish()[0]


def nothing_written() -> bytes:
    out = BodyWriter()
    out.head += bytes(2)
    return out.finish()[0]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (written(replace(TOTAL, key="price")), "from itself"),
        (written(replace(TOTAL, degree=0)), "degree 0"),
        (written(replace(TOTAL, degree=7)), "degree 7"),
        (written(replace(TOTAL, coefficients=(math.nan,) * 6)), "not finite"),
        (written(replace(TOTAL, first=Axis("quantity", math.inf, 1.0))), "not finite"),
        (written(replace(TOTAL, second=Axis("price", 1.0, 0.0))), "a range of zero"),
        (written(TOTAL, count=MAX_FORMULAS + 1), "number of formulas is 17"),
        (nothing_written(), "names none"),
        (written(TOTAL)[:-1], "end early"),
        (written(TOTAL) + b"\x00", "left over"),
        (write_shared(Shared()), "no tables"),
    ],
)
def test_what_is_no_formula_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        read_shared(data)


def test_a_dictionary_of_formulas_alone_travels() -> None:
    dictionary = Dictionary(join_content(b"", Shared((), (TOTAL,))))
    back = unpack_dictionary(pack_dictionary(dictionary.content))
    assert (back.name, back.shared) == (dictionary.name, Shared((), (TOTAL,)))


# ------------------------------------------------------------------ columns


def through(events: list[Event]) -> bytes:
    """Encode events, and see that they come back as they were, to the last bit."""
    columns = encode_events(events, dictionary=BOTH)
    back = decode_events(columns, HAND)
    assert repr([event.data for event in back]) == repr([event.data for event in events])
    return columns


@pytest.mark.parametrize("make", [sales, packs])
def test_what_is_computed_costs_next_to_nothing(make: Any) -> None:
    events = make(200)
    columns = through(events)
    assert columns_info(columns)[0] == "zstd-tables"
    for event in events:
        event.data.pop("total", None)
        event.data.pop("pieces", None)
    assert len(columns) < len(encode_events(events, dictionary=BOTH)) + 40


@pytest.mark.parametrize(
    "other", [0.0, -0.0, 1e300, 3.14, math.inf, math.nan, 1234.56789012, -17.5, 5e-324]
)
def test_what_is_not_as_computed_is_said_beside_it(other: float) -> None:
    columns = through(sales(200, total=other))
    assert columns_info(columns)[0] == "zstd-tables"


@pytest.mark.parametrize("other", [0, -1, 2**53, 2**62, 2**63 - 1, -(2**63)])
def test_an_integer_that_is_not_as_computed_is_said_beside_it(other: int) -> None:
    through(packs(200, pieces=other))


@pytest.mark.parametrize(
    "changes",
    [
        {"total": None}, {"total": "none"}, {"total": 2**70}, {"quantity": None},
        {"price": math.nan}, {"price": "free"}, {"quantity": True}, {"quantity": 2**60},
        {"quantity": 1e308}, {"total": 2}, {"price": 1},
    ],
)  # fmt: skip
def test_columns_that_hold_something_else_are_written_as_they_are(changes: dict[str, Any]) -> None:
    through(sales(100, **changes))


def test_doubles_of_all_digits_are_told_by_their_bits() -> None:
    events = sales(200)
    for number, event in enumerate(events):
        event.data["total"] = (
            event.data["price"] * event.data["quantity"] * (1 + number % 5 / 2**51)
        )
    columns = through(events)
    assert columns_info(columns)[0] == "zstd-tables"
    assert len(columns) < 0.7 * len(encode_events(events, codec="zstd"))


numbers = st.one_of(
    st.floats(), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0.0, -0.0, 2.5, 10.0])
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=40), st.booleans())
def test_whatever_numbers_come_they_come_back(
    rows: list[tuple[Any, Any, Any]],
    close: bool,
) -> None:
    events = []
    for total, quantity, price in rows:
        with suppress(OverflowError):
            events.append(
                Event(
                    type="sale",
                    source="s",
                    time_ns=0,
                    data={
                        "quantity": quantity,
                        "price": price,
                        "total": quantity * price if close else total,
                    },
                )
            )
    for event in events:
        value = event.data["total"]
        if type(value) is int and not -(2**63) <= value < 2**63:
            event.data["total"] = 7
    if events:
        through(events)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_columns_are_refused_or_are_other_events(data: st.DataObject) -> None:
    body = write_body(sales(12, total=9.75), 2, shared=BOTH.shared)
    read_damaged(data, body.raw, BOTH.shared)


def test_columns_that_are_computed_need_the_formula_and_numbers_at_hand() -> None:
    raw = uncompressed(encode_events(packs(30), dictionary=BOTH), HAND)
    with pytest.raises(RemoteProtocolError, match="there are no formulas"):
        read_body(raw, Shared((PRICES,)))
    with pytest.raises(RemoteProtocolError, match="number of a formula"):
        read_body(raw, Shared((), (TOTAL,)))


def test_a_value_out_of_range_is_refused() -> None:
    for scale, most in ((computing.INTEGERS, 2**63), (computing.BITS, 2**63), (2, 2**53)):
        one = computing.Computed(COUNT, 0, 1, scale, [most - 1], ())
        with pytest.raises(RemoteProtocolError, match="out of range"):
            one.resolve([[2], [3]])
    least = computing.Computed(COUNT, 0, 1, 2, [-(2**53) - 600], ())
    with pytest.raises(RemoteProtocolError, match="out of range"):
        least.resolve([[2], [3]])  # a float's m is within 2^53 on both sides


def test_far_from_where_it_was_fitted_a_formula_says_nothing() -> None:
    steep = replace(COUNT, coefficients=(1e300,) * 6)
    for scale, value in ((computing.INTEGERS, 7), (computing.BITS, 3.5e-323), (1, 0.7)):
        assert computing.Computed(steep, 0, 1, scale, [7], ()).resolve([[1e40], [1e40]]) == [value]


def test_a_column_is_not_computed_from_a_computed_one() -> None:
    chain = Shared((), (COUNT, product_of("pack", "boxes", "pieces", "each")))
    dictionary = Dictionary(join_content(b"", chain))
    events = packs(50)
    columns = encode_events(events, dictionary=dictionary)
    assert decode_events(columns, {dictionary.name: dictionary}) == events
    twice = computing.Computed(COUNT, 0, 1, computing.INTEGERS, [0], ())
    with pytest.raises(RemoteProtocolError, match="not only numbers"):
        twice.resolve([twice, [3]])


def test_a_column_that_leads_to_another_is_not_computed() -> None:
    labels = Table("pack", "pieces", ("label",), {n: (f"label {n}",) for n in range(1, 50)})
    dictionary = Dictionary(join_content(b"", Shared((labels,), (COUNT,))))
    events = [
        Event(
            type="pack",
            source="s",
            time_ns=0,
            data={"boxes": n, "each": 1, "pieces": n, "label": f"label {n}"},
        )
        for n in random.Random(1).choices(range(1, 50), k=300)
    ]
    columns = encode_events(events, dictionary=dictionary)
    assert columns_info(columns)[0] == "zstd-tables"
    assert decode_events(columns, {dictionary.name: dictionary}) == events


def test_an_older_reader_refuses_a_dictionary_with_formulas() -> None:
    lead = read_lead(pack_dictionary(BOTH.content))
    assert lead.codec == 7  # who knows no tables refuses it; who knows no formulas finds bytes left


def test_computed_columns_of_a_frame_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_body(packs(40), 2, shared=BOTH.shared).raw
    assert read_body(raw, BOTH.shared) == packs(40)
    monkeypatch.setattr("whimbrel_protocol.columns.budget.MAX_FRAME_COMPUTED", 0)
    with pytest.raises(RemoteProtocolError, match="more than 0 columns"):
        read_body(raw, BOTH.shared)
    assert not write_body(packs(40), 2, shared=BOTH.shared).following  # a writer keeps to it
