"""Formulas: numbers that follow from two others, as a line's total does from quantity and price.

A dictionary may carry formulas behind its tables (see ``shared``). Columns then say of a column of
numbers that it is computed, and give what is left (see ``columns.computing``): a humidity ratio of
fifteen digits that a sensor derives from temperature and humidity is two bytes then instead of six.

A formula is a sum of products of Chebyshev polynomials of the first kind, which are fitted better than
powers (recurrence: Abramowitz and Stegun, 22.7.4)::

    u = (first - center_1) / half_1          v = (second - center_2) / half_2
    T_0(x) = 1     T_1(x) = x     T_n(x) = ((2 * x) * T_n-1(x)) - T_n-2(x)
    p = sum of (c_ij * T_i(u)) * T_j(v) for i = 0..degree, j = 0..degree - i

summed in this order from 0, each operation in binary64 and rounded to nearest even, none fused: so
everybody who keeps IEEE 754 has the same p.

In the head of a body: the names of the events' type, of the key that follows, of the first and the
second key, which may be one; a byte: the degree, 1 to 6. In the noise, as little-endian doubles:
center_1, half_1, center_2, half_2, and the (degree + 1) * (degree + 2) / 2 coefficients.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FORMULA_DEGREE

__all__ = ["Axis", "Formula", "powers_of", "put_formula", "read_formula", "terms_of"]

_DOUBLE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """One of the two keys that are known, and how its values are brought to -1 to 1."""

    key: str
    center: float
    half: float

    def scaled(self, values: Sequence[float]) -> list[float]:
        """Return values as the polynomials take them."""
        center, half = self.center, self.half
        return [(value - center) / half for value in values]


@dataclass(frozen=True, slots=True)
class Formula:
    """One formula.

    Attributes:
        type: of the events.
        key: of data, whose values follow.
        first: one key that is known.
        second: the other one; may have the same key.
        degree: of the polynomial.
        coefficients: by i, then by j.
    """

    type: str
    key: str
    first: Axis
    second: Axis
    degree: int
    coefficients: tuple[float, ...]

    def predict(self, firsts: Sequence[float], seconds: Sequence[float]) -> list[float]:
        """Return p for each two values; may be infinite or no number far from where it was fitted."""
        terms = terms_of(self.first.scaled(firsts), self.second.scaled(seconds), self.degree)
        sums = [0.0] * len(firsts)
        for coefficient, (us, vs) in zip(self.coefficients, terms, strict=True):
            sums = [p + (coefficient * u) * v for p, u, v in zip(sums, us, vs, strict=True)]
        return sums


def terms_of(
    us: Sequence[float], vs: Sequence[float], degree: int
) -> list[tuple[Sequence[float], Sequence[float]]]:
    """Return T_i(u) and T_j(v) of all u and v, in the order of the coefficients."""
    of_u, of_v = _chebyshev(us, degree), _chebyshev(vs, degree)
    return [(of_u[i], of_v[j]) for i, j in powers_of(degree)]


def powers_of(degree: int) -> list[tuple[int, int]]:
    """Return i and j of each coefficient, in their order."""
    return [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]


def _chebyshev(xs: Sequence[float], degree: int) -> list[Sequence[float]]:
    made: list[Sequence[float]] = [[1.0] * len(xs), xs]
    while len(made) <= degree:
        made.append([((2 * x) * b) - a for x, a, b in zip(xs, *made[-2:], strict=True)])
    return made


def put_formula(out: BodyWriter, names: NameWriter, formula: Formula) -> None:
    """Append a formula; its degree and the number of its coefficients must fit."""
    first, second = formula.first, formula.second
    for name in (formula.type, formula.key, first.key, second.key):
        names.put(name)
    out.head.append(formula.degree)
    doubles = (first.center, first.half, second.center, second.half, *formula.coefficients)
    out.noise += struct.pack(f"<{len(doubles)}d", *doubles)


def read_formula(body: BodyReader, names: NameReader) -> Formula:
    """Give back a formula.

    Raises:
        RemoteProtocolError: malformed, or beyond a limit.
    """
    event_type, key, first, second = (names.name() for _ in range(4))
    if key in {first, second}:
        raise RemoteProtocolError("a formula computes a key from itself")
    degree = body.head.byte()
    if not 1 <= degree <= MAX_FORMULA_DEGREE:
        raise RemoteProtocolError(f"a formula is of degree {degree}: 1 to {MAX_FORMULA_DEGREE}")
    count = 4 + len(powers_of(degree))
    doubles = struct.unpack(f"<{count}d", body.noise.take(count * _DOUBLE_BYTES))
    if not all(map(isfinite, doubles)) or 0.0 in {doubles[1], doubles[3]}:
        raise RemoteProtocolError("a formula has a number that is not finite, or a range of zero")
    return Formula(
        event_type,
        key,
        Axis(first, doubles[0], doubles[1]),
        Axis(second, doubles[2], doubles[3]),
        degree,
        doubles[4:],
    )
