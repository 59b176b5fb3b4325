"""One column: a kind byte and the values in the encoding of that kind.

::

    NULL    nothing            every value is null
    BOOL    integer stream     0 or 1
    INT     integer stream     signed 64 bits
    FLOAT   see ``floats``
    TEXT    see ``texts``
    BYTES   integer stream of lengths, bytes in the noise region
    DECIMAL see ``decimals``
    CBOR    varint size, then one CBOR array in the text region
    MIXED   byte count, that many kind bytes, an integer stream choosing among them, then one
            column without kind byte for each, in that order, of the values of that kind
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, Final

from whimbrel_protocol.cbor import dump_value, load_value
from whimbrel_protocol.columns.decimals import fits_decimals, read_decimals, write_decimals
from whimbrel_protocol.columns.floats import read_floats, write_floats
from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.texts import read_texts, write_texts
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_CBOR_BYTES

__all__ = ["read_column", "write_column"]

NULL: Final = 0
BOOL: Final = 1
INT: Final = 2
FLOAT: Final = 3
TEXT: Final = 4
BYTES: Final = 5
DECIMAL: Final = 6
CBOR: Final = 7
MIXED: Final = 8

_INT64: Final = 2**63
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
        kind = _kind(types.pop(), values)
        out.head.append(kind)
        _WRITERS[kind](out, values)
        return
    kinds = list(map(_kind_of, values))
    present = sorted(set(kinds))
    if len(present) == 1:
        out.head.append(present[0])
        _WRITERS[present[0]](out, values)
        return
    out.head.append(MIXED)
    out.head.append(len(present))
    out.head += bytes(present)
    write_integers(out, [present.index(kind) for kind in kinds])
    for kind in present:
        _WRITERS[kind](out, [v for v, k in zip(values, kinds, strict=True) if k == kind])


def read_column(body: BodyReader, count: int) -> list[Any]:
    """Give back one column of ``count`` values.

    Raises:
        RemoteProtocolError: malformed.
    """
    kind = body.head.byte()
    if kind != MIXED:
        return _read_kind(body, count, kind)
    present = body.head.take(body.head.varint(MIXED, "kinds in a mixed column"))
    choices = read_integers(body, count)
    if min(choices) < 0 or max(choices) >= len(present):
        raise RemoteProtocolError(f"a choice is outside {len(present)} kinds")
    parts = []
    for number, kind in enumerate(present):
        size = choices.count(number)
        if size == 0:
            raise RemoteProtocolError(f"a mixed column names kind {kind} but has none of it")
        parts.append(iter(_read_kind(body, size, kind)))
    return [next(parts[choice]) for choice in choices]


def _read_kind(body: BodyReader, count: int, kind: int) -> list[Any]:
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


def _write_null(_out: BodyWriter, _values: Sequence[Any]) -> None:
    return


def _read_null(_body: BodyReader, count: int) -> list[Any]:
    return [None] * count


def _read_bools(body: BodyReader, count: int) -> list[Any]:
    numbers = read_integers(body, count)
    if min(numbers) < 0 or max(numbers) > 1:
        raise RemoteProtocolError("a bool column holds a number other than 0 and 1")
    return list(map(bool, numbers))


def _write_bools(out: BodyWriter, values: Sequence[Any]) -> None:
    write_integers(out, list(map(int, values)))


def _write_bytes(out: BodyWriter, values: Sequence[Any]) -> None:
    write_integers(out, list(map(len, values)))
    out.noise += b"".join(values)


def _read_bytes(body: BodyReader, count: int) -> list[Any]:
    sizes = read_integers(body, count)
    if min(sizes) < 0 or sum(sizes) > body.noise.left():
        raise RemoteProtocolError("byte strings are longer than what is left")
    return list(map(body.noise.take, sizes))


def _write_cbor(out: BodyWriter, values: Sequence[Any]) -> None:
    data = dump_value(values)
    out.budget.spend_cbor(len(data))
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
    INT: write_integers,
    FLOAT: write_floats,
    TEXT: write_texts,
    BYTES: _write_bytes,
    DECIMAL: write_decimals,
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
}
