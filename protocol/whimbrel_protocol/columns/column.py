"""One column: a kind byte (see ``kinds``) and the values in the encoding of that kind.

::

    NULL    nothing            every value is null
    BOOL    integer stream     0 or 1
    INT     integer stream     signed 64 bits
    FLOAT   see ``floats``
    TEXT    see ``texts``
    BYTES   integer stream of lengths, bytes in the noise region
    DECIMAL see ``decimals``
    CBOR    varint size, then one CBOR array in the text region
    PARTS    byte count, an integer stream choosing among so many columns, these columns
    OPTIONAL an integer stream of 0 (null) and 1, then the column of what is not null
    TEXT_*, FLOAT_DECIMAL    short heads, see ``kinds``
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.columns.decimals import fits_decimals, read_decimals, write_decimals
from whimbrel_protocol.columns.floats import (
    MAX_EXPONENT,
    read_decimal_floats,
    read_floats,
    write_floats,
)
from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.kinds import (
    BOOL,
    BYTES,
    CBOR,
    DECIMAL,
    FLOAT,
    FLOAT_DECIMAL,
    INT,
    NULL,
    OPTIONAL,
    PARTS,
    TEXT,
    TEXT_FEW,
    TEXT_NEW,
    TEXT_ONE,
)
from whimbrel_protocol.columns.knowntexts import read_texts
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.texts import (
    read_few_texts,
    read_new_texts,
    read_one_text,
    write_texts,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_CBOR_BYTES

__all__ = ["read_column", "read_column_of", "write_column"]

_INT64: Final = 2**63

_MAX_PARTS: Final = 8
"""There are no more types of values."""

_KINDS: Final[dict[type, int]] = {
    NoneType: NULL,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: TEXT,
    bytes: BYTES,
    Decimal: DECIMAL,
    list: CBOR,
    dict: CBOR,
}


def write_column(out: BodyWriter, values: Sequence[Any]) -> None:
    """Append one column.

    Args:
        out: the body.
        values: at least one value, each of a type that ``values.check_value`` accepts.

    Raises:
        LocalProtocolError: the CBOR in the frame passes ``MAX_FRAME_CBOR_BYTES``.
    """
    types = set(map(type, values))
    if len(types) == 1:
        _WRITERS[_kind(types.pop(), values)](out, values)
        return
    kinds = list(map(_kind_of, values))
    present = sorted(set(kinds))
    if present[0] == NULL and len(present) == 2:
        out.head.append(OPTIONAL)
        write_integers(out, [int(kind != NULL) for kind in kinds])
        del present[0]
    elif len(present) > 1:
        out.head += bytes((PARTS, len(present)))
        write_integers(out, [present.index(kind) for kind in kinds])
    for kind in present:
        _WRITERS[kind](out, [v for v, k in zip(values, kinds, strict=True) if k == kind])


def read_column(body: BodyReader, count: int) -> list[Any]:
    """Give back one column of ``count`` values, at least one.

    Raises:
        RemoteProtocolError: malformed.
    """
    return read_column_of(body, count, body.head.byte())


def read_column_of(body: BodyReader, count: int, kind: int) -> list[Any]:
    """Give back one column whose kind byte was read; raises as :func:`read_column` does."""
    if kind == OPTIONAL:
        choices = read_integers(body, count)
        return _merge(
            choices, 2, lambda part, size: _read_part(body, size) if part else [None] * size
        )
    if kind == PARTS:
        parts = body.head.varint(_MAX_PARTS, "columns in one")
        return _merge(read_integers(body, count), parts, lambda _, size: _read_part(body, size))
    return _read_kind(body, count, kind)


def _merge(choices: list[int], parts: int, read: Callable[[int, int], list[Any]]) -> list[Any]:
    """Read so many columns and merge them; ``read`` is given a column's number and size."""
    if min(choices) < 0 or max(choices) >= parts:
        raise RemoteProtocolError(f"a choice is outside {parts} columns")
    columns = []
    for part in range(parts):
        size = choices.count(part)
        if size == 0:
            raise RemoteProtocolError(f"{parts} columns in one have no value in number {part}")
        columns.append(iter(read(part, size)))
    return [next(columns[choice]) for choice in choices]


def _read_part(body: BodyReader, count: int) -> list[Any]:
    kind = body.head.byte()
    if kind in {PARTS, OPTIONAL}:
        raise RemoteProtocolError("columns in one must not hold such columns again")
    return _read_kind(body, count, kind)


def _read_kind(body: BodyReader, count: int, kind: int) -> list[Any]:
    if FLOAT_DECIMAL <= kind <= FLOAT_DECIMAL + MAX_EXPONENT:
        return read_decimal_floats(body, count, kind - FLOAT_DECIMAL)
    if kind not in _READERS:
        raise RemoteProtocolError(f"column kind is {kind}: not a known kind")
    return _READERS[kind](body, count)


def _kind(only: type, values: Sequence[Any]) -> int:
    if only is int and not (min(values) >= -_INT64 and max(values) < _INT64):
        return CBOR
    if only is Decimal and not fits_decimals(values):
        return CBOR
    return _KINDS[only]


def _kind_of(value: Any) -> int:
    kind = _KINDS[type(value)]
    if kind == INT and not -_INT64 <= value < _INT64:
        return CBOR
    if kind == DECIMAL and not fits_decimals((value,)):
        return CBOR
    return kind


def _write_null(out: BodyWriter, _values: Sequence[Any]) -> None:
    out.head.append(NULL)


def _write_ints(out: BodyWriter, values: Sequence[Any]) -> None:
    out.head.append(INT)
    write_integers(out, values)


def _read_null(_body: BodyReader, count: int) -> list[Any]:
    return [None] * count


def _read_bools(body: BodyReader, count: int) -> list[Any]:
    numbers = read_integers(body, count)
    if min(numbers) < 0 or max(numbers) > 1:
        raise RemoteProtocolError("a bool column holds a number other than 0 and 1")
    return list(map(bool, numbers))


def _write_bools(out: BodyWriter, values: Sequence[Any]) -> None:
    out.head.append(BOOL)
    write_integers(out, list(map(int, values)))


def _write_bytes(out: BodyWriter, values: Sequence[Any]) -> None:
    out.head.append(BYTES)
    write_integers(out, list(map(len, values)))
    out.noise += b"".join(values)


def _read_bytes(body: BodyReader, count: int) -> list[Any]:
    sizes = read_integers(body, count)
    if min(sizes) < 0 or sum(sizes) > body.noise.left():
        raise RemoteProtocolError("byte strings are longer than what is left")
    return list(map(body.noise.take, sizes))


def _write_decimals(out: BodyWriter, values: Sequence[Any]) -> None:
    out.head.append(DECIMAL)
    write_decimals(out, values)


def _write_cbor(out: BodyWriter, values: Sequence[Any]) -> None:
    data = dump_value(values)
    out.budget.spend_cbor(len(data))
    out.head.append(CBOR)
    put_varint(out.head, len(data))
    out.text += data


def _read_cbor(body: BodyReader, count: int) -> list[Any]:
    size_bytes = body.head.varint(MAX_FRAME_CBOR_BYTES, "nested values in bytes")
    body.budget.spend_cbor(size_bytes)
    values = load_value(body.text.take(size_bytes))
    if type(values) is not list or len(values) != count:
        raise RemoteProtocolError(f"nested values must be an array of {count}")
    return values


_WRITERS: Final[dict[int, Callable[[BodyWriter, Sequence[Any]], None]]] = {
    NULL: _write_null,
    BOOL: _write_bools,
    INT: _write_ints,
    FLOAT: write_floats,
    TEXT: write_texts,
    BYTES: _write_bytes,
    DECIMAL: _write_decimals,
    CBOR: _write_cbor,
}
_READERS: Final[dict[int, Callable[[BodyReader, int], list[Any]]]] = {
    NULL: _read_null,
    BOOL: _read_bools,
    INT: read_integers,
    FLOAT: read_floats,
    TEXT: read_texts,
    BYTES: _read_bytes,
    DECIMAL: read_decimals,
    CBOR: _read_cbor,
    TEXT_ONE: read_one_text,
    TEXT_NEW: read_new_texts,
    TEXT_FEW: read_few_texts,
}
