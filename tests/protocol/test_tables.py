"""Tables of what goes together: as bytes, and columns that follow from them."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage.columns import read_damaged
from whimbrel_protocol.batch import columns_info, decode_events, encode_events, uncompressed
from whimbrel_protocol.codecs import CODECS
from whimbrel_protocol.columns.column import read_column, write_column
from whimbrel_protocol.columns.following import is_same, leading
from whimbrel_protocol.columns.integers import write_integers
from whimbrel_protocol.columns.kinds import TEXT
from whimbrel_protocol.columns.knowntexts import ROWS
from whimbrel_protocol.columns.names import NameWriter
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.series import Shape
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.dictionaries import (
    MAX_CONTENT_BYTES,
    Dictionary,
    join_content,
    pack_dictionary,
    unpack_dictionary,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lead import read_lead, write_lead
from whimbrel_protocol.limits import MAX_DICTIONARY_BYTES, MAX_PAYLOAD_BYTES, MAX_TABLES_BYTES
from whimbrel_protocol.shared import Shared, read_shared, write_shared
from whimbrel_protocol.tables import Table
from whimbrel_protocol.zstdcodec import Level


def joined(zstd: bytes, tables: Sequence[Table]) -> bytes:
    return join_content(zstd, Shared(tuple(tables)))


def write_tables(tables: Sequence[Table]) -> bytes:
    return write_shared(Shared(tuple(tables)))


def read_tables(data: bytes) -> tuple[Table, ...]:
    return read_shared(data).tables


ARTICLES = {
    f"{4_000 + n}": (f"article {random.Random(n).randbytes(9).hex()}", n / 4 + 0.25, n % 3 == 0)
    for n in range(60)
}
TABLE = Table("sale", "article", ("name", "price", "reduced"), ARTICLES)
ROOMS = Table("climate", "room", ("label",), {7: ("cold room",), 8: ("bakery",)})
BOTH = Dictionary(joined(b"", [TABLE, ROOMS]))


def sales(count: int, *, seed: int = 1, **changes: Any) -> list[Event]:
    """Lines of articles, some of them not in the table; a change replaces a field of each tenth."""
    chosen = random.Random(seed)
    events = []
    for number in range(count):
        article = f"{4_000 + chosen.randrange(70)}"
        name, price, reduced = ARTICLES.get(article, ("a new one", 1.5, False))
        data: dict[str, Any] = {
            "article": article, "quantity": chosen.randrange(1, 5),
            "name": name, "price": price, "reduced": reduced,
        }  # fmt: skip
        if number % 10 == 0:
            data |= changes
        events.append(Event(type="sale", source="till-1", time_ns=number * 10**9, data=data))
    return events


# ------------------------------------------------------------------ as bytes


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
KNOWN: st.SearchStrategy[list[Any]] = st.one_of(
    st.lists(st.text(), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30, unique=True),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
            min_size=1, max_size=5, unique=True,
        )
    )  # fmt: skip
    known = draw(KNOWN)
    rows = {key: tuple(draw(VALUES) for _ in names[1:]) for key in known}
    return Table(draw(st.sampled_from(["sale", "climate"])), names[0], tuple(names[1:]), rows)


@settings(max_examples=60, deadline=None)
@given(st.lists(tables(), min_size=1, max_size=4))
def test_tables_come_back_as_they_were(given_tables: list[Table]) -> None:
    back = read_tables(write_tables(given_tables))
    assert [(t.type, t.known, t.follows) for t in back] == [
        (t.type, t.known, t.follows) for t in given_tables
    ]
    assert [repr(dict(t.rows)) for t in back] == [repr(dict(t.rows)) for t in given_tables]


def written(*columns: list[Any], known: str = "a", follows: tuple[str, ...] = ("b",)) -> bytes:
    """One table, whatever its columns hold."""
    out = BodyWriter()
    names = NameWriter(out)
    put_varint(out.head, 1)
    names.put("t")
    names.put(known)
    put_varint(out.head, len(follows))
    for key in follows:
        names.put(key)
    put_varint(out.head, len(columns[0]) if columns else 0)
    for column in columns:
        write_column(out, column)
    return out.finish()[0]


def _wide(rows: int, columns: int, first: int) -> Table:
    keys = tuple(f"k{n}" for n in range(columns))
    return Table("t", "a", keys, {first + n: (1,) * columns for n in range(rows)})


def test_a_table_may_be_as_large_as_the_limit_on_values() -> None:
    assert len(read_tables(write_tables([_wide(4_096, 3, 0)]))[0].rows) == 4_096


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (written(["x", "x"], [1, 2]), "each once"),
        (written([1.5], [2]), "texts or integers"),
        (written([True], [2]), "texts or integers"),
        (written([1, "x"], [2, 3]), "texts or integers"),
        (written(), "no rows"),
        (written(["x"], [1], follows=("a",)), "a key twice"),
        (written(["x"], [1]) + b"\0", "left over"),
        (written(["x"], [[1]]), "no such value follows"),
        (written(["x", "y"], [1, {"a": 1}]), "no such value follows"),
        (written(["x"], [b"1"]), "no such value follows"),
        (write_tables([_wide(4_096, 3, 0), _wide(1, 3, 1)]), "more than 16384 values"),
        (write_tables([_wide(4_096, 4, 0)]), "more than 16384 values"),
        (b"", "end early"),
        (write_tables([]), "no tables"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        read_tables(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_tables_are_refused_or_are_other_tables(data: st.DataObject) -> None:
    raw = bytearray(write_tables([TABLE, ROOMS]))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(RemoteProtocolError):
        read_tables(bytes(raw))


# ------------------------------------------------------------------ in dictionaries


@pytest.mark.parametrize("zstd", [b"", b"raw content to refer to" * 9])
def test_a_dictionary_with_tables_travels(zstd: bytes) -> None:
    dictionary = Dictionary(joined(zstd, [TABLE, ROOMS]))
    packed = pack_dictionary(dictionary.content)
    assert unpack_dictionary(packed).content == dictionary.content
    assert dictionary.zstd == zstd
    assert [table.known for table in dictionary.shared.tables] == ["article", "room"]
    assert len(packed) <= MAX_PAYLOAD_BYTES


def test_who_knows_no_tables_refuses_it_and_so_is_never_sent_a_frame_that_needs_it() -> None:
    # what such a reader takes is packed with codec 0 or 2
    assert read_lead(pack_dictionary(BOTH.content)).codec == CODECS["zstd-tables"]


def test_without_tables_a_dictionary_is_what_it_always_was() -> None:
    assert joined(b"content", []) == b"content"
    assert not Dictionary(b"content").shared


def test_the_largest_that_may_be_fits_into_one_message() -> None:
    noise = random.Random(1).randbytes(MAX_DICTIONARY_BYTES)
    rows = {n: (random.Random(n).randbytes(16).hex(),) for n in range(1_900)}
    content = joined(noise, [Table("t", "a", ("b",), rows)])
    assert MAX_DICTIONARY_BYTES + MAX_TABLES_BYTES * 0.9 < len(content) <= MAX_CONTENT_BYTES
    assert len(pack_dictionary(content)) < MAX_PAYLOAD_BYTES - 1_000


@pytest.mark.parametrize(
    "table",
    [
        Table("t", "a", ("b", "c"), {f"{n}": (f"description {n:09}", n / 4) for n in range(1_500)}),
        Table("t", "a", ("b", "c", "d"), {n: (n + 10**6, n / 2, n + 10**9) for n in range(4_000)}),
        Table("t", "a", ("b",), dict.fromkeys(range(4_000), ("the same " * 90,))),
    ],
    ids=["articles", "numbers", "one text"],
)
def test_it_takes_no_more_memory_than_it_says(table: Table) -> None:
    content = joined(b"", [table])
    tracemalloc.start()
    try:
        dictionary = Dictionary(content)
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken_bytes <= dictionary.memory_bytes <= 2_500_000


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"WBT1", "end early"),
        (b"WBT1\x05ab", "tables|end early"),
        (joined(bytes(MAX_DICTIONARY_BYTES + 1), [TABLE]), "must be at most"),
        (joined(b"", [Table("t", "a", ("b",), {n: ("x" * 40 + str(n),) for n in range(4_000)})]),
         "must be at most"),
    ],
)  # fmt: skip
def test_a_dictionary_beyond_its_limits_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        Dictionary(content)


def test_a_dictionary_packed_as_another_kind_or_under_another_name_is_refused() -> None:
    plain = write_lead(CODECS["none"], len(BOTH.content)) + BOTH.content
    packed = pack_dictionary(BOTH.content)
    body = packed[read_lead(packed).start :]
    other = write_lead(CODECS["zstd-tables"], len(BOTH.content), b"8 bytes!") + body
    for wrong in (plain, other):
        with pytest.raises(RemoteProtocolError, match="not packed as one of its kind"):
            unpack_dictionary(wrong)


# ------------------------------------------------------------------ in columns


@pytest.mark.parametrize("count", [2, 3, 20, 500])
def test_events_come_back_and_what_follows_costs_next_to_nothing(count: int) -> None:
    events = sales(count)
    columns = encode_events(events, dictionary=BOTH)
    assert columns_info(columns)[0] == "zstd-tables"
    assert decode_events(columns, {BOTH.name: BOTH}) == events
    alone = [
        Event(
            type=e.type, source=e.source, time_ns=e.time_ns,
            data={key: e.data[key] for key in ("article", "quantity")},
        )
        for e in events
    ]  # fmt: skip
    if count >= 20:
        assert (
            len(columns) < len(encode_events(alone)) + 90 + 0.6 * count < len(encode_events(events))
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "renamed"}, {"name": None}, {"name": 7}, {"price": 3}, {"price": -0.0},
        {"price": float("nan")}, {"reduced": 1}, {"article": "9999"}, {"name": ["a", {"b": 1}]},
    ],
)  # fmt: skip
def test_what_does_not_follow_is_given(changes: dict[str, Any]) -> None:
    events = sales(60, **changes)
    columns = encode_events(events, dictionary=BOTH)
    assert columns_info(columns)[0] == "zstd-tables"
    assert repr(decode_events(columns, {BOTH.name: BOTH})) == repr(events)


@pytest.mark.parametrize("article", [None, 4_001, True, 4_001.0, ["4001"], {"a": "4001"}], ids=repr)
def test_a_known_column_of_other_values_leads_nowhere(article: Any) -> None:
    events = sales(40, article=article)
    columns = encode_events(events, dictionary=BOTH)
    assert columns_info(columns)[0] != "zstd-tables"
    assert repr(decode_events(columns, {BOTH.name: BOTH})) == repr(events)


def test_integers_may_be_known() -> None:
    events = [
        Event(type="climate", source="c", time_ns=n, data={"label": label, "room": room, "v": n})
        for n, (room, label) in enumerate([(7, "cold room"), (8, "bakery"), (9, "yard")] * 5)
    ]
    columns = encode_events(events, dictionary=BOTH)
    assert columns_info(columns)[0] == "zstd-tables"  # the known key comes after the other
    assert decode_events(columns, {BOTH.name: BOTH}) == events


def test_a_key_that_follows_leads_to_none_and_the_first_table_counts() -> None:
    rows = {text: (text.upper(),) for text in ("a", "b", "c")}
    chain = Dictionary(
        joined(b"", [
            Table("t", "k", ("l",), rows), Table("t", "l", ("m",), {"A": ("x",), "B": ("y",)}),
            Table("t", "m", ("k",), {"x": ("a",), "y": ("b",)}),
            Table("t", "m", ("l",), {"x": ("A",), "y": ("B",)}),
        ])
    )  # fmt: skip
    events = [
        Event(type="t", source="s", time_ns=n, data={"k": "ab"[n % 2], "l": "AB"[n % 2], "m": "xy"[n % 2]})
        for n in range(10)
    ]  # fmt: skip
    columns = encode_events(events, dictionary=chain)
    assert columns_info(columns)[0] == "zstd-tables"
    assert decode_events(columns, {chain.name: chain}) == events


def test_a_codec_that_was_chosen_otherwise_does_without_tables() -> None:
    class Picked:
        codec = "lz4"
        level = Level.FULL

    events = sales(40)
    for columns in (
        encode_events(events, dictionary=BOTH, pick=lambda _: Picked()),
        encode_events(events, dictionary=BOTH, codec="none"),
    ):
        assert decode_events(columns) == events


@pytest.mark.parametrize("value", ["a", 2, 0, 1.5, True, None])
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert is_same(value, value)


@pytest.mark.parametrize(
    ("said", "value"), [(1, True), (1, 1.0), (0.0, 0.0), (0.0, -0.0), ("1", 1), (None, 0)]
)
def test_equal_is_not_the_same(said: Any, value: Any) -> None:
    assert not is_same(said, value)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_columns_are_refused_or_are_other_events(data: st.DataObject) -> None:
    body = write_body(sales(12, price=9.75), 2, shared=BOTH.shared)
    read_damaged(data, body.raw, BOTH.shared)


def test_columns_that_follow_need_the_tables_at_hand() -> None:
    columns = encode_events(sales(20), dictionary=BOTH)
    raw = uncompressed(columns, {BOTH.name: BOTH})
    with pytest.raises(RemoteProtocolError, match="no tables"):
        read_body(raw)
    with pytest.raises(RemoteProtocolError, match="table's column"):
        read_body(raw, Shared((ROOMS,)))
    wide = Table("sale", "article", TABLE.follows, {1: ("a", 2.5, True)})
    with pytest.raises(RemoteProtocolError, match="other values than its table"):
        read_body(raw, Shared((wide,)))
    few = Table("sale", "article", TABLE.follows, {"4001": ARTICLES["4001"]})
    with pytest.raises(RemoteProtocolError, match=r"leaves .* open"):
        read_body(raw, Shared((few,)))


# ------------------------------------------------------------------ texts that a table knows


def moves(count: int, *, seed: int = 1, strange: int = 0) -> list[Event]:
    """Stock moves: another type than the table's, and its key; some articles are in no table."""
    chosen = random.Random(seed)
    articles = [*ARTICLES, *(f"new {n}" for n in range(strange))]
    return [
        Event(
            type="stock.move",
            source="scanner",
            time_ns=number * 10**9,
            data={"article": chosen.choice(articles), "from": f"{chosen.randrange(3)}"},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("strange", [0, 1, 20, 60, 500])
@pytest.mark.parametrize("count", [1, 4, 20, 300])
def test_texts_that_a_table_knows_are_told_by_their_rows(count: int, strange: int) -> None:
    events = moves(count, strange=strange)
    columns = encode_events(events, dictionary=BOTH)
    assert decode_events(columns, {BOTH.name: BOTH}) == events
    raw = write_body(events, 2, shared=BOTH.shared).raw
    assert read_body(raw, BOTH.shared) == events


def scans_of(keys: Sequence[str]) -> list[Event]:
    return [
        Event(type="scan", source="s", time_ns=n, data={"article": key})
        for n, key in enumerate(keys)
    ]


def scans(keys: Sequence[str]) -> list[Event]:
    chosen = random.Random(5)
    return scans_of([chosen.choice(keys) for _ in range(100)])


@pytest.mark.parametrize(
    ("of", "most"), [(lambda n: f"{n * 7_919_351 % 10**8}", 0.6), (lambda n: f"A{n:05}", 0.8)]
)
def test_rows_take_less_than_the_texts(of: Callable[[int], str], most: float) -> None:
    keys = [of(n) for n in range(1, 400)]
    table = Table("sale", "article", ("name",), {key: (f"article {key}",) for key in keys})
    known = Dictionary(joined(b"", [table]))
    plain = Dictionary("\x00".join(keys).encode())  # has each of them
    events = scans(keys)
    columns = encode_events(events, dictionary=known)
    assert columns_info(columns)[0] == "zstd-tables"
    assert len(columns) < most * len(encode_events(events, dictionary=plain))


def test_numbers_that_are_shorter_than_rows_stay_numbers() -> None:
    keys = [f"{n}" for n in range(4_000, 4_100)]
    shuffled = random.Random(3).sample(keys, len(keys))
    table = Table("sale", "article", ("name",), {key: (f"article {key}",) for key in shuffled})
    events = scans_of(keys)
    assert not write_body(events, 2, shared=Shared((table,))).following
    mixed = scans_of(shuffled)
    assert write_body(mixed, 2, shared=Shared((table,))).following


def test_the_table_that_knows_most_leads_and_a_type_s_own_before_others() -> None:
    keys = list(ARTICLES)
    other = Table("stock.move", "article", ("shelf",), {key: (key[-1],) for key in keys})
    few = Table("stock.move", "article", ("shelf",), {key: (key[-1],) for key in keys[:3]})
    shape = Shape("stock.move", 0, ("from", "article"), ())

    def leads(place: int, column: Sequence[Any], *tables: Table) -> int | None:
        found = leading(shape, place, column, tables)
        return None if found is None else found.table

    assert leads(1, keys, TABLE, other) == 1
    assert leads(1, keys, TABLE, few) == 0
    assert leads(1, keys[:3], TABLE, few) == 1
    assert leads(0, keys, TABLE, other) is None
    assert leads(1, ["strange"], TABLE, other) is None
    assert leads(1, [*keys, 4], TABLE, other) is None
    assert leads(1, keys, ROOMS) is None


def test_integers_are_no_texts_of_a_table() -> None:
    rooms = Table("climate", "room", ("label",), {n: (f"room {n}",) for n in range(9)})
    dictionary = Dictionary(joined(b"", [rooms]))
    events = [
        Event(type="climate", source="s", time_ns=n, data={"room": room})
        for n, room in enumerate([1, "1", 2, "2", None, 3, 4, 5, 6])
    ]
    columns = encode_events(events, dictionary=dictionary)
    assert decode_events(columns, {dictionary.name: dictionary}) == events


@pytest.mark.parametrize(
    ("tables", "numbers", "said"),
    [
        ([], (0,), "there are no tables"),
        ([ROOMS], (0,), "knows no texts"),
        ([TABLE], (1,), "number of a table"),
        ([TABLE], (0, [0, 2], [1]), "neither known nor not"),
        ([TABLE], (0, [1, 1], [1, 60]), "outside its table of 60"),
        ([TABLE], (0, [1, 1], [1, -1]), "outside its table of 60"),
        ([TABLE], (0, [0, 0], [ROWS]), "text form is 3"),
    ],
)
def test_rows_that_no_table_has_are_refused(
    tables: list[Table], numbers: tuple[Any, ...], said: str
) -> None:
    out = BodyWriter()
    out.head.append(TEXT)
    out.head.append(ROWS)
    put_varint(out.head, 2)
    put_varint(out.head, numbers[0])
    for stream in numbers[1:]:
        if stream == [ROWS]:
            out.head.append(ROWS)
        else:
            write_integers(out, stream)
    body = BodyReader(out.finish()[0], [table.rows for table in tables])
    with pytest.raises(RemoteProtocolError, match=said):
        read_column(body, 2)


KNOWN_KEYS = [*(f"key {n * 7_919}" for n in range(50)), "x\0y", "é", "007", "0", ""]
SCANS = Shared((Table("scan", "article", ("n",), dict.fromkeys(KNOWN_KEYS, (1,))),))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*KNOWN_KEYS, "new", "y\0z", "12", "012", "ü"]), min_size=1))
def test_whatever_texts_come_they_come_back(texts: list[str]) -> None:
    events = [Event(type="t", source="s", time_ns=0, data={"article": text}) for text in texts]
    raw = write_body(events, 2, shared=SCANS).raw
    assert read_body(raw, SCANS) == events


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_rows_are_refused_or_are_other_events(data: st.DataObject) -> None:
    read_damaged(data, write_body(scans(list(KNOWN_KEYS)), 2, shared=SCANS).raw, SCANS)
