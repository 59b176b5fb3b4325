"""Text columns: distinct texts once, then which of them comes where.

A column is one form byte, ``varint distinct``, the distinct texts in order of first
appearance, and, when there is more than one, a stream of codes: 0 means "the next text not
seen yet", ``k`` means the text with number ``k - 1``. So a column of texts that are all new
costs nothing for its codes, and two columns whose texts go together have equal codes.

Form bits: 0x0F how the texts lie (SPLIT, SIZED, NUMBERS, ROWS), 0x10 codes are given per run of
equal neighbours, with a stream of run lengths after them (and ``varint runs`` before). ROWS are texts
that a table of the dictionary knows: ``varint`` its number, a stream of 1 (known) or 0 for each distinct
text, a stream of the rows of the known ones, and where there are others a byte how these lie, and these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, repeat
from operator import ne
from typing import Any, Final, NamedTuple

from whimbrel_protocol.columns.integers import (
    read_integers,
    run_lengths,
    run_starts,
    write_integers,
)
from whimbrel_protocol.columns.kinds import TEXT, TEXT_FEW, TEXT_NEW, TEXT_ONE
from whimbrel_protocol.columns.planning import plan_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = [
    "KnownTexts",
    "read_few_texts",
    "read_new_texts",
    "read_one_text",
    "read_texts",
    "write_texts",
]

SPLIT: Final = 0
SIZED: Final = 1
NUMBERS: Final = 2
ROWS: Final = 3

_BY_RUNS: Final = 0x10
_END: Final = b"\x00"

_MAX_DIGITS: Final = 18
"""What always fits a signed 64-bit integer."""

_FEW_NUMBERS: Final = 4
"""Fewer numbers than this are as short as text."""

_SPELT_BYTES: Final = 5.0
"""About what a text takes that comes for the first time: measured on frames of 20 till lines, where 3
for a match of zstd gave frames 1 to 2 per cent longer."""

_ROWS_HEAD_BYTES: Final = 2


class KnownTexts(NamedTuple):
    """A table's number, and what it knows, by row."""

    table: int
    texts: Iterable[Any]


def write_texts(out: BodyWriter, values: Sequence[str], *, known: KnownTexts | None = None) -> None:
    """Append a column of texts, with its kind byte; ``known`` are those that a table knows."""
    places = {text: place for place, text in enumerate(dict.fromkeys(values), 1)}
    table = list(places)
    form, width = _form(table)
    split = form == SPLIT
    rows = {} if known is None else _rows_of(places, known.texts)
    if known is not None and rows and _rows_pay(table, rows, form, light=out.light):
        _write_rows(out, list(map(places.__getitem__, values)), table, known.table, rows)
        return
    if len(table) == 1:
        if split:
            out.head.append(TEXT_ONE)
            _write_split(out, table)
        else:
            _write_table(out, table, form, width)
        return
    if split and len(table) == len(values):
        out.head.append(TEXT_NEW)
        _write_split(out, table)
        return
    numbers = list(map(places.__getitem__, values))
    if sum(map(ne, numbers, numbers[1:])) * 3 < len(numbers):
        starts = run_starts(numbers)
        _write_table(out, table, form | _BY_RUNS, width)
        put_varint(out.head, len(starts))
        write_integers(out, _to_codes([numbers[start] for start in starts]))
        write_integers(out, run_lengths(starts, len(numbers)))
        return
    if split:
        out.head.append(TEXT_FEW)
        put_varint(out.head, len(table))
        _write_split(out, table)
    else:
        _write_table(out, table, form, width)
    write_integers(out, _to_codes(numbers))


def _rows_of(places: Collection[str], known: Iterable[Any]) -> dict[str, int]:
    return {text: row for row, text in enumerate(known) if text in places}


def _rows_pay(table: list[str], rows: dict[str, int], form: int, *, light: bool) -> bool:
    """Say whether rows take less than the texts that they stand for; estimated."""
    cost = plan_integers(list(rows.values()), light=light).cost + len(table) / 8 + _ROWS_HEAD_BYTES
    spelt = len(rows) * _SPELT_BYTES
    if form == NUMBERS:
        spelt = plan_integers(list(map(int, rows)), light=light).cost
    return cost < spelt


def _write_rows(
    out: BodyWriter, numbers: list[int], table: list[str], number: int, rows: dict[str, int]
) -> None:
    out.following = True
    out.head += bytes((TEXT, ROWS))
    put_varint(out.head, len(table))
    put_varint(out.head, number)
    write_integers(out, [int(text in rows) for text in table])
    write_integers(out, [rows[text] for text in table if text in rows])
    if left := [text for text in table if text not in rows]:
        form, width = _form(left)
        out.head.append(form)
        _write_pieces(out, left, form, width)
    write_integers(out, _to_codes(numbers))


def read_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of ``count`` texts.

    Raises:
        RemoteProtocolError: malformed.
    """
    form = body.head.byte()
    size = body.head.varint(count, "distinct texts")
    if size < 1 or form & ~(_BY_RUNS | 0x0F):
        raise RemoteProtocolError(f"text form is {form} with {size} texts: not possible")
    how = form & 0x0F
    table = _read_rows(body, size) if how == ROWS else _read_table(body, size, how)
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
    return _read_table(body, 1, SPLIT) * count


def read_new_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of ``count`` different texts.

    Raises:
        RemoteProtocolError: malformed.
    """
    return _read_table(body, count, SPLIT)


def read_few_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of a few texts and their codes.

    Raises:
        RemoteProtocolError: malformed.
    """
    size = body.head.varint(count, "distinct texts")
    if size < 2:
        raise RemoteProtocolError(f"distinct texts are {size}: a few must be at least 2")
    return _from_codes(_read_table(body, size, SPLIT), read_integers(body, count))


def _to_codes(numbers: list[int]) -> list[int]:
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


def _write_table(out: BodyWriter, table: list[str], form: int, width: int) -> None:
    out.head += bytes((TEXT, form))
    put_varint(out.head, len(table))
    _write_pieces(out, table, form & ~_BY_RUNS, width)


def _write_pieces(out: BodyWriter, table: list[str], how: int, width: int) -> None:
    if how == SPLIT:
        _write_split(out, table)
    elif how == SIZED:
        pieces = [text.encode() for text in table]
        write_integers(out, list(map(len, pieces)))
        out.text += b"".join(pieces)
    else:
        out.head.append(width)
        write_integers(out, list(map(int, table)))


def _form(table: list[str]) -> tuple[int, int]:
    """Choose how the texts lie; the number is the fixed width of decimal numbers (0: of none)."""
    joined = "".join(table)
    if "\x00" in joined:
        return SIZED, 0
    if len(table) < _FEW_NUMBERS or not (joined.isascii() and joined.isdigit() and all(table)):
        return SPLIT, 0
    lengths = set(map(len, table))
    if max(lengths) > _MAX_DIGITS:
        return SPLIT, 0
    if not any(text[0] == "0" and len(text) > 1 for text in table):
        return NUMBERS, 0
    return (NUMBERS, lengths.pop()) if len(lengths) == 1 else (SPLIT, 0)


def _read_rows(body: BodyReader, size: int) -> list[str]:
    known = body.known_texts()
    flags = read_integers(body, size)
    if not set(flags) <= {0, 1}:
        raise RemoteProtocolError("a text is neither known nor not")
    ones = sum(flags)
    rows = read_integers(body, ones) if ones else []
    if rows and not (min(rows) >= 0 and max(rows) < len(known)):
        raise RemoteProtocolError(f"a row is outside its table of {len(known)}")
    others = size - ones
    left = iter(_read_table(body, others, body.head.byte()) if others else ())
    at = iter(rows)
    return [known[next(at)] if flag else next(left) for flag in flags]


def _read_table(body: BodyReader, size: int, form: int) -> list[str]:
    try:
        if form == SPLIT:
            return [str(piece, "utf-8") for piece in body.text.until(_END, size)]
        if form == SIZED:
            return [
                str(body.text.take(_size(length)), "utf-8") for length in read_integers(body, size)
            ]
    except UnicodeDecodeError as exc:
        raise RemoteProtocolError(f"a text is not utf-8: {exc}") from exc
    if form != NUMBERS:
        raise RemoteProtocolError(f"text form is {form}: not a known form")
    width = body.head.byte()
    if width > _MAX_DIGITS:
        raise RemoteProtocolError(f"number width is {width}: must be at most {_MAX_DIGITS}")
    numbers = read_integers(body, size)
    if min(numbers) < 0:
        raise RemoteProtocolError("a number in a text column is negative")
    return [str(number).zfill(width) for number in numbers] if width else list(map(str, numbers))


def _size(length: int) -> int:
    if length < 0:
        raise RemoteProtocolError(f"text length is {length}: must not be negative")
    return length
