"""Texts that a table of the dictionary knows (see ``tables``), told by their rows.

Two forms of a text column beside those of ``texts``, after the kind byte:

* ROWS, with or without runs: as the others, ``varint distinct``, but the distinct texts are: ``varint``
  number of the table, a stream of 1 (known) or 0 for each, a stream of the rows of the known ones, and
  where there are others a byte how these lie, and these; then the codes.
* EACH, for texts that seldom come twice in a frame and for those of which there are only a few:
  ``varint`` number of the table, a stream of 0 (not known) or a row and 1 for each value, and where
  there are others these as a column without its kind, of a form that stands by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.kinds import TEXT
from whimbrel_protocol.columns.planning import plan_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.texts import (
    NUMBERS,
    number_texts,
    read_coded,
    read_codes,
    read_size,
    read_table,
    table_form,
    to_codes,
    write_coded,
    write_pieces,
    write_texts,
)
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["KnownTexts", "read_texts", "write_known_texts"]

ROWS: Final = 3
EACH: Final = 4

_HOW: Final = 0x0F

_SPELT_BYTES: Final = 5.0
"""About what a text takes that comes for the first time: measured on frames of 20 till lines, where 3
for a match of zstd gave frames 1 to 2 per cent longer."""

_ROWS_HEAD_BYTES: Final = 2


class KnownTexts(NamedTuple):
    """A table's number, and what it knows, by row."""

    table: int
    texts: Iterable[Any]


def write_known_texts(out: BodyWriter, values: Sequence[str], known: KnownTexts) -> None:
    """Append a column of texts, with its kind byte; ``known`` are those that a table knows."""
    numbers, table = number_texts(values)
    rows = _rows_of(table, known.texts)
    form = _cheapest(out, values, numbers, table, rows)
    if form is None:
        write_texts(out, values)
        return
    out.following = True
    out.head.append(TEXT)
    if form == ROWS:
        _write_rows(out, numbers, table, known.table, rows)
    else:
        _write_each(out, values, known.table, rows)


def _rows_of(table: list[str], known: Iterable[Any]) -> dict[str, int]:
    """Return the rows of the texts that are known, in the order of the texts."""
    wanted = set(table)
    rows = {text: row for row, text in enumerate(known) if text in wanted}
    return {text: rows[text] for text in table if text in rows}


def _cheapest(
    out: BodyWriter,
    values: Sequence[str],
    numbers: list[int],
    table: list[str],
    rows: Mapping[str, int],
) -> int | None:
    """Return ROWS or EACH, or None for a form that stands by itself.

    A histogram may know how often each text comes; then nothing is shorter than to say each.
    """

    def cost(stream: list[int]) -> float:
        return plan_integers(stream, light=out.light).cost if stream else 0.0

    if out.coder is not None and out.coder.knows() and 2 * len(rows) >= len(table):
        return EACH
    if not rows:
        return None
    spelt = len(rows) * _SPELT_BYTES
    if table_form(out, table)[0] == NUMBERS:
        spelt = cost(list(map(int, rows)))
    codes = cost(to_codes(numbers)) if len(table) > 1 else 0.0
    by_rows = cost(list(rows.values())) + len(table) / 8 + _ROWS_HEAD_BYTES + codes
    others = [number for number, text in zip(numbers, values, strict=True) if text not in rows]
    each = cost([rows.get(text, -1) + 1 for text in values]) + cost(to_codes(others))
    if min(by_rows, each) >= spelt + codes:
        return None
    return ROWS if by_rows < each else EACH


def _write_rows(
    out: BodyWriter, numbers: list[int], table: list[str], number: int, rows: Mapping[str, int]
) -> None:
    out.head.append(ROWS)
    put_varint(out.head, len(table))
    put_varint(out.head, number)
    write_integers(out, [int(text in rows) for text in table])
    write_integers(out, list(rows.values()))
    if left := [text for text in table if text not in rows]:
        form, width = table_form(out, left)
        out.head.append(form)
        write_pieces(out, left, form, width)
    if len(table) > 1:
        write_integers(out, to_codes(numbers))


def _write_each(
    out: BodyWriter, values: Sequence[str], number: int, rows: Mapping[str, int]
) -> None:
    out.head.append(EACH)
    put_varint(out.head, number)
    told = [rows.get(text, -1) + 1 for text in values]
    if out.coder is not None:
        told = out.coder.as_known(number, values, told)
    write_integers(out, told)
    if left := [text for text, row in zip(values, told, strict=True) if not row]:
        write_coded(out, *number_texts(left))


def read_texts(body: BodyReader, count: int) -> list[str]:
    """Give back a column of ``count`` texts of any form.

    Raises:
        RemoteProtocolError: malformed.
    """
    form = body.head.byte()
    if form == EACH:
        return _read_each(body, count)
    if form & _HOW != ROWS:
        return read_coded(body, count, form)
    size = read_size(body, count, form)
    return read_codes(body, count, form, _read_rows(body, size))


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
    left = iter(read_table(body, others, body.head.byte()) if others else ())
    at = iter(rows)
    return [known[next(at)] if flag else next(left) for flag in flags]


def _read_each(body: BodyReader, count: int) -> list[str]:
    known = body.known_texts()
    numbers = read_integers(body, count)
    if not (min(numbers) >= 0 and max(numbers) <= len(known)):
        raise RemoteProtocolError(f"a row is outside its table of {len(known)}")
    others = numbers.count(0)
    left: Iterator[str] = iter(read_coded(body, others, body.head.byte()) if others else ())
    return [known[number - 1] if number else next(left) for number in numbers]
