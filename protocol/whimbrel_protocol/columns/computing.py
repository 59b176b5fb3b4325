"""Columns of numbers that are computed from two others, by a formula that the dictionary has.

After the kind byte: ``varint`` number of the formula, from 0; ``varint`` places of its first and its
second key among the keys of data; a byte, the scale; a stream of what is left, r. With p as the formula
gives it, the values are

======  ==================================================================================
scale
======  ==================================================================================
0 to 22 floats m / 10^scale, m = r + w, w being p * 10^scale
254     floats whose 64 bits, as a signed number, are r + the bits of p
255     integers m = r + w, w being p
======  ==================================================================================

w is rounded to nearest even; where it is no number or not within 2^62, and for the bits where p is not
finite, 0 stands in its place. With scales 0 to 22 follow ``varint`` exceptions, and where there are any a
stream of their places, ascending, and one of their bits, as ``floats`` has them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import copysign, isfinite
from typing import Any, Final

from whimbrel_protocol.columns.floats import (
    MAX_EXACT,
    MAX_EXPONENT,
    as_integers,
    decimals_of,
    from_bits,
    to_bits,
    write_exceptions,
)
from whimbrel_protocol.columns.integers import read_integers, read_places, write_integers
from whimbrel_protocol.columns.kinds import COMPUTED
from whimbrel_protocol.columns.planning import plan_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.series import Shape
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.formulas import Formula

__all__ = ["Computation", "Computed", "computations", "read_computed", "write_computed"]

INTEGERS: Final = 255
BITS: Final = 254
_INT64: Final = 2**63
_MAX_WHOLE: Final = 2.0**62
_MOST_EXCEPTIONS: Final = 8
"""One value in so many at most may be an exception."""

_HEAD_BYTES: Final = 6
_WORTH_IT: Final = 0.9
"""What is left must take so much less than the values: both are estimates."""

Columns = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Computation:
    """How one column is computed, and what is left of it.

    Attributes:
        formula: its number.
        first: place of the first known column.
        second: of the second one.
        scale: see above.
        left: what is left.
        odd: places of exceptions.
    """

    formula: int
    first: int
    second: int
    scale: int
    left: Sequence[int]
    odd: Sequence[int]


def numbers_of(values: Sequence[Any]) -> Sequence[float] | None:
    """Return the values of a known column as doubles; None where they are not all of one such kind."""
    types = set(map(type, values))
    if types == {float}:
        return values if all(map(isfinite, values)) else None
    if types == {int} and max(map(abs, values)) <= MAX_EXACT:
        return list(map(float, values))
    return None


def computations(
    shape: Shape,
    columns: Columns,
    formulas: Sequence[Formula],
    *,
    taken: Collection[int],
    light: bool,
) -> dict[int, Computation]:
    """Return which columns of data are computed, by their places; the first formula that pays counts.

    Args:
        shape: of the events.
        columns: of their data.
        formulas: of the dictionary.
        taken: places of columns that follow from another one, or lead to one.
        light: as for the encoder.
    """
    found: dict[int, Computation] = {}
    known: set[int] = set()
    places = {key: place for place, key in enumerate(shape.keys)}
    for number, formula in enumerate(formulas):
        place = places.get(formula.key)
        first, second = places.get(formula.first.key), places.get(formula.second.key)
        if formula.type != shape.type or place is None or first is None or second is None:
            continue
        if place in taken or place in found or place in known or {first, second} & found.keys():
            continue
        predicted = _predicted(formula, columns[first], columns[second])
        scaled = None if predicted is None else _scaled(columns[place])
        if predicted is None or scaled is None:
            continue
        scale, values, odd = scaled
        wholes = _wholes(predicted, scale)
        left = [value - whole for value, whole in zip(values, wholes, strict=True)]
        for at in odd:
            left[at] = 0
        if _pays(left, odd, columns[place], light=light):
            found[place] = Computation(number, first, second, scale, left, odd)
            known |= {first, second}
    return found


def _pays(left: Sequence[int], odd: Sequence[int], values: Sequence[Any], *, light: bool) -> bool:
    if not all(-_INT64 <= one < _INT64 for one in left):
        return False
    own = values if type(values[0]) is int else as_integers(values)
    cost = plan_integers(left, light=light).cost + _HEAD_BYTES + 10 * len(odd)
    return cost < _WORTH_IT * plan_integers(own, light=light).cost


def _predicted(
    formula: Formula, firsts: Sequence[Any], seconds: Sequence[Any]
) -> list[float] | None:
    us, vs = numbers_of(firsts), numbers_of(seconds)
    if us is None or vs is None:
        return None
    pairs = list(zip(us, vs, strict=True))
    distinct = list(dict.fromkeys(pairs))
    said = dict(zip(distinct, formula.predict(*zip(*distinct, strict=True)), strict=True))
    return [said[pair] for pair in pairs]


def _wholes(predicted: Sequence[float], scale: int) -> list[int]:
    if scale == BITS:
        return to_bits([p if isfinite(p) else 0.0 for p in predicted])
    power = 1.0 if scale == INTEGERS else float(10**scale)
    scaled = [p * power for p in predicted]
    return [round(w) if -_MAX_WHOLE < w < _MAX_WHOLE else 0 for w in scaled]


def _scaled(values: Sequence[Any]) -> tuple[int, Sequence[int], list[int]] | None:
    """Return the scale, the integers and the places of exceptions; None: not computable."""
    types = set(map(type, values))
    if types == {int}:
        fits = all(-_INT64 <= value < _INT64 for value in values)
        return (INTEGERS, values, []) if fits else None
    if types != {float}:
        return None
    return _decimals(values) or (BITS, to_bits(values), [])


def _decimals(values: Sequence[float]) -> tuple[int, Sequence[int], list[int]] | None:
    """Return the same for floats that have few digits; None where too many have more."""
    pure = [value for value in dict.fromkeys(values) if isfinite(value)]
    if not pure:
        return None
    top = max(map(abs, pure))
    most = sorted(map(decimals_of, pure))[len(pure) - 1 - len(pure) // (2 * _MOST_EXCEPTIONS)]
    exponent = min(MAX_EXPONENT, most)
    while exponent and top * float(10**exponent) >= MAX_EXACT:
        exponent -= 1
    power = float(10**exponent)
    if top * power >= MAX_EXACT:
        return None
    numbers = {value: round(value * power) for value in pure}
    exact = {value for value, number in numbers.items() if number / power == value}
    odd = [
        at
        for at, value in enumerate(values)
        if value not in exact or (value == 0 and copysign(1.0, value) < 0)
    ]
    if len(odd) * _MOST_EXCEPTIONS > len(values):
        return None
    return exponent, [numbers.get(value, 0) for value in values], odd


def write_computed(out: BodyWriter, one: Computation, values: Sequence[Any]) -> None:
    """Append a column, with its kind byte."""
    out.following = True
    out.budget.spend_computed()
    out.head.append(COMPUTED)
    for number in (one.formula, one.first, one.second):
        put_varint(out.head, number)
    out.head.append(one.scale)
    write_integers(out, one.left)
    if one.scale <= MAX_EXPONENT:
        write_exceptions(out, one.odd, values)


@dataclass(frozen=True, slots=True)
class Computed:
    """What was read of a column whose known columns may come later."""

    formula: Formula
    first: int
    second: int
    scale: int
    left: Sequence[int]
    odd: Sequence[tuple[int, float]]

    def resolve(self, columns: Sequence[Any]) -> list[Any]:
        """Return the values, given all columns that are not computed themselves.

        Raises:
            RemoteProtocolError: a known column has no numbers, or a value is out of range.
        """
        firsts, seconds = columns[self.first], columns[self.second]
        computed = isinstance(firsts, Computed) or isinstance(seconds, Computed)
        predicted = None if computed else _predicted(self.formula, firsts, seconds)
        if predicted is None:
            raise RemoteProtocolError("a column is computed from one that has not only numbers")
        wholes = _wholes(predicted, self.scale)
        numbers = [r + whole for r, whole in zip(self.left, wholes, strict=True)]
        most = (MAX_EXACT if self.scale <= MAX_EXPONENT else _INT64) - 1
        least = -most if self.scale <= MAX_EXPONENT else -_INT64
        if min(numbers) < least or max(numbers) > most:
            raise RemoteProtocolError("a computed value is out of range")
        if self.scale == INTEGERS:
            return numbers
        if self.scale == BITS:
            return from_bits(numbers)
        power = float(10**self.scale)
        values = [number / power for number in numbers]
        for at, value in self.odd:
            values[at] = value
        return values


def read_computed(body: BodyReader, count: int, keys: int, formulas: Sequence[Formula]) -> Computed:
    """Read what stands after the kind byte.

    Args:
        body: to read from.
        count: of rows.
        keys: how many columns of data there are.
        formulas: of the dictionary.

    Raises:
        RemoteProtocolError: malformed.
    """
    body.budget.spend_computed()
    if not formulas:
        raise RemoteProtocolError("a column is computed, and there are no formulas")
    formula = formulas[body.head.varint(len(formulas) - 1, "number of a formula")]
    first = body.head.varint(keys - 1, "place of a column")
    second = body.head.varint(keys - 1, "place of a column")
    scale = body.head.byte()
    if scale > MAX_EXPONENT and scale not in {BITS, INTEGERS}:
        raise RemoteProtocolError(f"a scale is {scale}: 0 to {MAX_EXPONENT}, {BITS} or {INTEGERS}")
    left = read_integers(body, count)
    size = body.head.varint(count, "number of rows") if scale <= MAX_EXPONENT else 0
    places = read_places(body, size, count)
    values = from_bits(read_integers(body, size)) if size else []
    return Computed(formula, first, second, scale, left, tuple(zip(places, values, strict=True)))
