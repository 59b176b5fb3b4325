"""Decimal columns: a stream of exponents and a stream of coefficients.

Only for columns whose coefficients fit 63 bits and hold no negative zero; others are CBOR.
``1``, ``1.0`` and ``1.00`` differ in their exponents and so come back as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_DECIMAL_EXPONENT

__all__ = ["fits_decimals", "read_decimals", "write_decimals"]

_MAX_DIGITS = 18


def fits_decimals(values: Sequence[Decimal]) -> bool:
    """Tell whether a column can be written by ``write_decimals``."""
    return all(
        len(value.as_tuple().digits) <= _MAX_DIGITS and (value or not value.is_signed())
        for value in values
    )


def write_decimals(out: BodyWriter, values: Sequence[Decimal]) -> None:
    """Append a column of decimals for which ``fits_decimals`` is true."""
    exponents = []
    coefficients = []
    for value in values:
        sign, digits, exponent = value.as_tuple()
        coefficient = int("".join(map(str, digits)))
        coefficients.append(-coefficient if sign else coefficient)
        exponents.append(int(exponent))
    write_integers(out, exponents)
    write_integers(out, coefficients)


def read_decimals(body: BodyReader, count: int) -> list[Decimal]:
    """Give back a column of ``count`` decimals.

    Raises:
        RemoteProtocolError: malformed, or an exponent out of range.
    """
    exponents = read_integers(body, count)
    if max(map(abs, exponents)) > MAX_DECIMAL_EXPONENT:
        raise RemoteProtocolError(
            f"a decimal exponent is not within {MAX_DECIMAL_EXPONENT} of zero"
        )
    coefficients = read_integers(body, count)
    return [
        Decimal((coefficient < 0, tuple(map(int, str(abs(coefficient)))), exponent))
        for coefficient, exponent in zip(coefficients, exponents, strict=True)
    ]
