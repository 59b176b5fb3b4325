"""Text columns: distinct texts once, then which of them comes where.

A column is one form byte, ``varint distinct``, the distinct texts in order of first
appearance, and, when there is more than one, a stream of codes: 0 means "the next text not
seen yet", ``k`` means the text with number ``k - 1``. So a column of texts that are all new
costs nothing for its codes, and two columns whose texts go together have equal codes.

Form bits: 0x0F how the texts lie (SPLIT, SIZED, NUMBERS, HEXADECIMAL), 0x10 codes are given per run of
equal neighbours, with a stream of run lengths after them (and ``varint runs`` before). Two more forms are
for texts that a dictionary knows (see ``knowntexts``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from operator import ne
from typing import Final

from whimbrel_protocol.columns.integers import (
    read_integers,
    run_lengths,
    run_starts,
    write_integers,
)
from whimbrel_protocol.columns.kinds import TEXT, TEXT_FEW, TEXT_NEW, TEXT_ONE
from whimbrel_protocol.columns.numbers import fold
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = [
    "NUMBERS",
    "number_texts",
    "read_coded",
    "read_codes",
    "read_few_texts",
    "read_new_texts",
    "read_one_text",
    "read_size",
    "read_table",
    "table_form",
    "to_codes",
    "write_coded",
    "write_pieces",
    "write_texts",
]

SPLIT: Final = 0
SIZED: Final = 1
NUMBERS: Final = 2
HEXADECIMAL: Final = 5

_BY_RUNS: Final = 0x10
_END: Final = b"\x00"

_MAX_DIGITS: Final = 18
"""What always fits a signed 64-bit integer."""

_HEXADECIMAL_DIGITS: Final = frozenset("0123456789abcdef")
_MAX_HEXADECIMAL_DIGITS: Final = 16

_FEW_NUMBERS: Final = 4
"""Fewer numbers than this are as short as text."""


def write_texts(out: BodyWriter, values: Sequence[str]) -> None:
    """Append a column of texts, with its kind byte."""
    numbers, table = number_texts(values)
    form, _ = table_form(out, table)
    if form == SPLIT and len(table) in {1, len(values)}:
        out.head.append(TEXT_ONE if len(table) == 1 else TEXT_NEW)
        _write_split(out, table)
    elif form == SPLIT and not _has_runs(numbers):
        out.head.append(TEXT_FEW)
        put_varint(out.head, len(table))
        _write_split(out, table)
        write_integers(out, to_codes(numbers))
    else:
        out.head.append(TEXT)
        write_coded(out, numbers, table)


def number_texts(values: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return for each value the number of its text, from 1, and the distinct texts."""
    places = {text: place for place, text in enumerate(dict.fromkeys(values), 1)}
    return list(map(places.__getitem__, values)), list(places)


def write_coded(out: BodyWriter, numbers: list[int], table: list[str]) -> None:
    """Append distinct texts and which comes where, without a kind byte."""
    form, width = table_form(out, table)
    runs = len(table) > 1 and _has_runs(numbers)
    out.head.append(form | (_BY_RUNS if runs else 0))
    put_varint(out.head, len(table))
    write_pieces(out, table, form, width)
    if runs:
        starts = run_starts(numbers)
        put_varint(out.head, len(starts))
        write_integers(out, to_codes([numbers[start] for start in starts]))
        write_integers(out, run_lengths(starts, len(numbers)))
    elif len(table) > 1:
        write_integers(out, to_codes(numbers))


def _has_runs(numbers: list[int]) -> bool:
    changes: int = sum(map(ne, numbers, numbers[1:]))
    return changes * 3 < len(numbers)


def read_coded(body: BodyReader, count: int, form: int) -> list[str]:
    """Give back ``count`` texts of a form that stands by itself.

    Raises:
        RemoteProtocolError: malformed, or of another form.
    """
    size = read_size(body, count, form)
    return read_codes(body, count, form, read_table(body, size, form & ~_BY_RUNS))


def read_size(body: BodyReader, count: int, form: int) -> int:
    """Give how many distinct texts there are.

    Raises:
        RemoteProtocolError: malformed.
    """
    size = body.head.varint(count, "distinct texts")
    if size < 1 or form & ~(_BY_RUNS | 0x0F):
        raise RemoteProtocolError(f"text form is {form} with {size} texts: not possible")
    return size


def read_codes(body: BodyReader, count: int, form: int, table: list[str]) -> list[str]:
    """Give back ``count`` texts of a table, by codes.

    Raises:
        RemoteProtocolError: malformed.
    """
    size = len(table)
    if size == 1:
        return table * count
    if not form & _BY_RUNS:
        return _from_codes(table, read_integers(body, count))
    runs = body.head.varint(count, "run count")
    if runs < size:
        raise RemoteProtocolError(f"run count is {runs}: must be at least {size}")
    texts = _from_codes(table, read_integers(body, runs))
    lengths = read_integers(body, runs)
    if min(lengths) < 1 or sum(lengths) != count:
        raise RemoteProtocolError(f"run lengths must be positive and add up to {count}")
    return list(chain.from_iterable(map(repeat, texts, lengths)))


def read_one_text(body: BodyReader, count: int) -> list[str]:
    """Give back a column of one text, ``count`` times.

    Raises:
        RemoteProtocolError: malformed.
    """
    return read_table(body, 1, SPLIT) * count


def read_new_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of ``count`` different texts.

    Raises:
        RemoteProtocolError: malformed.
    """
    return read_table(body, count, SPLIT)


def read_few_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of a few texts and their codes.

    Raises:
        RemoteProtocolError: malformed.
    """
    size = body.head.varint(count, "distinct texts")
    if size < 2:
        raise RemoteProtocolError(f"distinct texts are {size}: a few must be at least 2")
    return _from_codes(read_table(body, size, SPLIT), read_integers(body, count))


def to_codes(numbers: list[int]) -> list[int]:
    """Turn numbers from 1 by first appearance into codes: 0 at each first appearance."""
    codes = numbers.copy()
    last = len(numbers) - 1
    firsts = dict(zip(reversed(numbers), range(last, -1, -1), strict=True))
    for at in firsts.values():
        codes[at] = 0
    return codes


def _from_codes(table: list[str], codes: list[int]) -> list[str]:
    indices = []
    seen = 0
    for code in codes:
        if code:
            indices.append(code - 1)
        else:
            indices.append(seen)
            seen += 1
    if seen > len(table):
        raise RemoteProtocolError(f"codes ask for {seen} texts of a table of {len(table)}")
    if min(indices) < 0 or max(indices) >= len(table):
        raise RemoteProtocolError(f"a code is outside its table of {len(table)} texts")
    return list(map(table.__getitem__, indices))


def _write_split(out: BodyWriter, table: list[str]) -> None:
    out.text += "\x00".join(table).encode()
    out.text += _END


def write_pieces(out: BodyWriter, table: list[str], how: int, width: int) -> None:
    if how == SPLIT:
        _write_split(out, table)
    elif how == SIZED:
        pieces = [text.encode() for text in table]
        write_integers(out, list(map(len, pieces)))
        out.text += b"".join(pieces)
    else:
        out.head.append(width)
        numbers = [int(text, 10 if how == NUMBERS else 16) for text in table]
        write_integers(out, fold(numbers))


def table_form(out: BodyWriter, table: list[str]) -> tuple[int, int]:
    """Choose how the texts lie; the number is the fixed width of numbers (0: of none)."""
    joined = "".join(table)
    if "\x00" in joined:
        return SIZED, 0
    if len(table) < _FEW_NUMBERS or not (joined.isascii() and joined.isalnum() and all(table)):
        return SPLIT, 0
    if not joined.isdigit():
        return _hexadecimal_form(out, table, joined)
    lengths = set(map(len, table))
    if max(lengths) > _MAX_DIGITS:
        return SPLIT, 0
    if not any(text[0] == "0" and len(text) > 1 for text in table):
        return NUMBERS, 0
    return (NUMBERS, lengths.pop()) if len(lengths) == 1 else (SPLIT, 0)


def _hexadecimal_form(out: BodyWriter, table: list[str], joined: str) -> tuple[int, int]:
    """Choose numbers where the reader knows of them, which is where there are histograms."""
    width = len(table[0])
    if out.coder is None or width > _MAX_HEXADECIMAL_DIGITS or {*map(len, table)} != {width}:
        return SPLIT, 0
    return (HEXADECIMAL, width) if _HEXADECIMAL_DIGITS.issuperset(joined) else (SPLIT, 0)


def read_table(body: BodyReader, size: int, form: int) -> list[str]:
    try:
        if form == SPLIT:
            return [str(piece, "utf-8") for piece in body.text.until(_END, size)]
        if form == SIZED:
            return [
                str(body.text.take(_size(length)), "utf-8") for length in read_integers(body, size)
            ]
    except UnicodeDecodeError as exc:
        raise RemoteProtocolError(f"a text is not utf-8: {exc}") from exc
    if form == HEXADECIMAL and body.has_histograms:
        return _read_hexadecimal(body, size)
    if form != NUMBERS:
        raise RemoteProtocolError(f"text form is {form}: not a known form")
    width = body.head.byte()
    if width > _MAX_DIGITS:
        raise RemoteProtocolError(f"number width is {width}: must be at most {_MAX_DIGITS}")
    numbers = read_integers(body, size)
    if min(numbers) < 0:
        raise RemoteProtocolError("a number in a text column is negative")
    return [str(number).zfill(width) for number in numbers] if width else list(map(str, numbers))


def _read_hexadecimal(body: BodyReader, size: int) -> list[str]:
    width = body.head.byte()
    if not 1 <= width <= _MAX_HEXADECIMAL_DIGITS:
        raise RemoteProtocolError(f"{width} hexadecimal digits: must be 1 to 16")
    texts = [f"{number % 2**64:0{width}x}" for number in read_integers(body, size)]
    if max(map(len, texts)) > width:
        raise RemoteProtocolError(f"a number has more than {width} hexadecimal digits")
    return texts


def _size(length: int) -> int:
    if length < 0:
        raise RemoteProtocolError(f"text length is {length}: must not be negative")
    return length
