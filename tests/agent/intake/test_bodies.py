import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.intake.bodies import (
    MAX_LINE_BYTES,
    LineReader,
    LineTooLongError,
    Slice,
    parse_cbor,
)
from whimbrel_agent.intake.jsontext import parse_json
from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.errors import FieldError

GOOD = b'{"type":"t","source":"s","time_ns":1}'


def read(body: bytes, piece_bytes: int = 10_000) -> Slice:
    reader, whole = LineReader(now_ns=7), Slice()
    pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)]
    parts = [part for piece in pieces for part in reader.feed(piece)]
    for part in [*parts, *reader.finish()]:
        whole.events += part.events
        whole.places += part.places
        whole.problems += part.problems
    return whole


def test_the_last_line_needs_no_line_feed() -> None:
    assert read(GOOD + b"\n" + GOOD).places == [1, 2]


def test_blank_lines_and_spaces_around_a_value_are_harmless() -> None:
    assert read(b"\n  " + GOOD + b"\t\r\n\r\n" + GOOD + b" \n\n").places == [2, 4]


def test_a_byte_order_mark_is_harmless() -> None:
    assert read(b"\xef\xbb\xbf" + GOOD).places == [1]


def test_a_bad_line_is_named_and_its_neighbours_are_read() -> None:
    whole = read(GOOD + b"\n{bad}\n" + GOOD + b'\n{"type":"t"}\n\xff\n' + GOOD)
    assert whole.places == [1, 3, 6]
    assert [(problem.place, problem.field) for problem in whole.problems] == [
        (2, "event"),
        (4, "source"),
        (5, "event"),
    ]


def test_lines_that_are_json_only_together_are_all_bad() -> None:
    whole = read(b'{"type":"t","source":"s","data":{"a":[{}\n{}]}}\n' + GOOD + b"," + GOOD)
    assert whole.events == []
    assert [problem.place for problem in whole.problems] == [1, 2, 3]


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1.5E400"])
def test_a_number_that_no_float_holds_is_refused_by_its_field(word: bytes) -> None:
    whole = read(GOOD + b'\n{"type":"t","source":"s","data":{"a":[1,' + word + b"]}}\n" + GOOD)
    assert whole.places == [1, 3]
    (problem,) = whole.problems
    assert (problem.place, problem.field, problem.value) == (2, "data.a[1]", word.decode())
    assert "64-bit float" in problem.rule


def test_hostile_numbers_and_depth_are_problems_not_crashes() -> None:
    whole = read(b"9" * 5_000 + b"\n" + b"[" * 100_000 + b"\n" + GOOD)
    assert [problem.place for problem in whole.problems] == [1, 2]
    assert whole.places == [3]


def test_a_line_without_end_is_given_up() -> None:
    reader = LineReader(now_ns=7)
    list(reader.feed(GOOD + b"\n"))
    with pytest.raises(LineTooLongError) as caught:
        for _ in range(10):
            list(reader.feed(b" " * (MAX_LINE_BYTES // 4)))
    assert caught.value.line == 2


@given(
    st.lists(
        st.one_of(
            st.just(GOOD),
            st.just(b""),
            st.just("{\u00e9}".encode()),
            st.binary(max_size=8).map(lambda raw: raw.replace(b"\n", b"")),
        )
    ),
    st.integers(1, 60),
)
def test_how_a_body_is_cut_into_pieces_changes_nothing(lines: list[bytes], size: int) -> None:
    body = b"\n".join(lines)
    assert read(body, size) == read(body)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_text_decodes_to_itself(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b"1 2"])
def test_what_is_no_json_is_a_field_error(body: bytes) -> None:
    with pytest.raises(FieldError):
        parse_json(body)


def test_cbor_is_a_map_an_array_or_a_sequence() -> None:
    one = dump_value({"a": 1})
    assert parse_cbor(one) == [{"a": 1}]
    assert parse_cbor(one + one) == [{"a": 1}] * 2
    assert parse_cbor(dump_value([{"a": 1}, {"a": 1}])) == [{"a": 1}] * 2
    assert parse_cbor(b"") == []


@given(st.binary(max_size=200))
def test_any_bytes_are_cbor_or_a_field_error(body: bytes) -> None:
    try:
        values = parse_cbor(body)
    except FieldError:
        return
    assert isinstance(values, list)
