"""Our narrow dialect of CBOR (RFC 8949): the value types of ``values`` and nothing else.

The library decodes many tags into live objects (dates, regular expressions, shared and
recursive references). Here every tag but big integers (2, 3), decimal fractions (4) and the
negative-zero decimal (268) is refused while decoding, so that no such object is ever built and
no reference can make a small input expand.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NoReturn

import cbor2

from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_DEPTH

__all__ = ["dump_plain", "dump_value", "load_value", "load_values"]

_TAG_DECIMAL: Final = 4
_TAG_EXTENDED_DECIMAL: Final = 268
"""[exponent, coefficient, sign]: the only registered form with a negative zero."""

_DECIMAL_HEAD: Final = b"\xc4\x82"

_REFUSED_TAGS: Final = (
    *(0, 1, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43_000, 55_799),
)
"""Every tag the library would turn into an object of its own (cbor2 6.x)."""

_LIBRARY_DEPTH: Final = MAX_DEPTH + 5
"""Tags count as depth too: a row around the data, and a decimal with a big coefficient inside."""


dump_plain: Final[Callable[[object], bytes]] = cbor2.dumps
"""Encode as ``dump_value`` does a checked value that holds no decimal. Raises ValueError or
CBORError for a text with a lone surrogate."""


def dump_value(value: object) -> bytes:
    """Encode a checked value (or lists and tuples of them).

    Floats are of eight bytes, only NaN and the infinities of two.

    Args:
        value: only types that ``values.check_value`` accepts, tuples as lists.

    Returns:
        Well-formed CBOR with definite lengths and shortest integers.
    """
    data = cbor2.dumps(value)
    if _DECIMAL_HEAD in data:
        # the library loses the sign of a zero decimal; our own encoder keeps it but makes every
        # call four times slower, so it runs only where the bytes may hold a decimal
        return cbor2.dumps(value, encoders=_ENCODERS)
    return data


def load_value(data: bytes) -> Any:
    """Decode one value that fills ``data`` exactly.

    The types inside are not checked beyond tags and depth: run ``values.check_value`` or
    ``validate_event`` on what comes back (byte-string keys, undefined and simple values are
    found there).

    Raises:
        RemoteProtocolError: malformed, a forbidden tag, too deep, or trailing bytes.
    """
    try:
        decoder = _decoder(io.BytesIO(data))
        value = decoder.decode()
    except (cbor2.CBORError, ValueError, ArithmeticError) as exc:
        # ValueError: the library prints a too long integer into its own error message and
        # trips over the interpreter's digit limit
        raise RemoteProtocolError(f"malformed cbor of {len(data)} bytes: {exc}") from exc
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return value
    raise RemoteProtocolError(f"cbor of {len(data)} bytes goes on after its value")


def load_values(data: bytes) -> list[Any]:
    """Decode a sequence of values (RFC 8742) that fills ``data`` exactly; see ``load_value``.

    Raises:
        RemoteProtocolError: malformed, a forbidden tag, too deep, or cut off.
    """
    stream = io.BytesIO(data)
    values: list[Any] = []
    try:
        decoder = _decoder(stream)
        while stream.tell() < len(data):  # the decoder puts back what it read ahead
            values.append(decoder.decode())
    except (cbor2.CBORError, ValueError, ArithmeticError) as exc:
        raise RemoteProtocolError(f"malformed cbor of {len(data)} bytes: {exc}") from exc
    return values


def _decoder(stream: io.BytesIO) -> cbor2.CBORDecoder:
    return cbor2.CBORDecoder(
        stream,
        semantic_decoders=_DECODERS,
        tag_hook=_refuse,
        max_depth=_LIBRARY_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )


def _refuse(*_: object) -> NoReturn:
    raise ValueError("only the tags 2, 3, 4 and 268 are allowed")


def _encode_decimal(encoder: cbor2.CBOREncoder, value: Decimal) -> None:
    sign, digits, exponent = value.as_tuple()
    coefficient = int("".join(map(str, digits)))
    if sign and not coefficient:
        encoder.encode(cbor2.CBORTag(_TAG_EXTENDED_DECIMAL, [exponent, 0, 1]))
        return
    if sign:
        coefficient = -coefficient
    encoder.encode(cbor2.CBORTag(_TAG_DECIMAL, [exponent, coefficient]))


def _decode_negative_zero(parts: Any, _immutable: object) -> Decimal:
    match parts:
        case [int(exponent), 0, 1]:
            return Decimal((1, (0,), exponent))
        case _:
            raise ValueError("tag 268 must be [exponent, 0, 1]")


_ENCODERS: Final[dict[type, Callable[[cbor2.CBOREncoder, Any], None]]] = {Decimal: _encode_decimal}
_DECODERS: Final[dict[int, Callable[[Any, bool], Any]]] = {
    **dict.fromkeys(_REFUSED_TAGS, _refuse),
    _TAG_EXTENDED_DECIMAL: _decode_negative_zero,
}
