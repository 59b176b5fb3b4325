"""Float columns: as scaled integers where that is exact to the last bit, else as raw bits.

Forms (byte), each followed by an integer stream::

    BITS     the IEEE 754 bits as signed 64-bit integers
    DECIMAL  byte e;        value = m / 10^e
    RATIO    varint d;      value = m / d
    MEAN     varint d;      value = m / d, printed with 15 significant digits, read back

Divisions are correctly rounded doubles of integers below 2^53, so any IEEE machine gets the
same bits. MEAN is there because sensors average readings and print the result: 572.666666666667
is 1718 / 3, and 1718 costs two bytes where the printed digits cost six. With 0x80 set in the
form byte, exceptions (NaN, infinities, -0.0, values that no scale fits) follow the stream:
``varint count``, the places, and the bits to put there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import copysign, isfinite
from operator import truediv
from typing import Final

from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.kinds import FLOAT, FLOAT_DECIMAL
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = [
    "MAX_EXACT",
    "MAX_EXPONENT",
    "as_integers",
    "decimals_of",
    "from_bits",
    "read_decimal_floats",
    "read_floats",
    "to_bits",
    "write_exceptions",
    "write_floats",
]

BITS: Final = 0
DECIMAL: Final = 1
RATIO: Final = 2
MEAN: Final = 3

_EXCEPTIONS: Final = 0x80
MAX_EXACT: Final = 2**53
_MAX_MEAN: Final = 10**15
"""Below it every integer has at most the 15 digits that MEAN prints."""

MAX_EXPONENT: Final = 22
"""10^22 is the largest power of ten that a double holds exactly."""

_MAX_DIVISOR: Final = 10**12
_SHORT_DECIMALS: Final = 6
"""A reading has at most this many decimals; more means that something was computed."""

_COUNTS_OF_MEANS: Final = (3, 7, 9, 11, 13)
"""Numbers of readings averaged whose division does not end in decimals (2, 4, 5, 8 do)."""

_SAMPLE: Final = 12
_MEAN_SAMPLE: Final = 24
"""So many distinct values decide what is tried on all of them."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """How to turn distinct values into integers; ``numbers`` lacks those that do not fit."""

    form: int
    divisor: int
    exponent: int
    numbers: dict[float, int]


def write_floats(out: BodyWriter, values: Sequence[float]) -> None:
    """Append a column of floats, with its kind byte."""
    distinct = dict.fromkeys(values)  # not a set: samples must not depend on hashing
    odd = not all(map(isfinite, distinct)) or (
        0.0 in distinct and any(value == 0.0 and _is_negative(value) for value in values)
    )
    pure = [value for value in distinct if isfinite(value)] if odd else list(distinct)
    scale = _find_scale(pure) if pure else None
    if scale is None:
        out.head += bytes((FLOAT, BITS))
        write_integers(out, to_bits(values))
        return
    numbers = scale.numbers
    if odd or len(numbers) < len(pure):
        places = [
            place
            for place, value in enumerate(values)
            if value not in numbers or (value == 0.0 and _is_negative(value))
        ]
        if len(places) * 4 > len(values):
            out.head += bytes((FLOAT, BITS))
            write_integers(out, to_bits(values))
            return
        kept = _fill(values, places, numbers)
    else:
        places = []
        kept = list(map(numbers.__getitem__, values))
    if scale.form == DECIMAL and not places:
        out.head.append(FLOAT_DECIMAL + scale.exponent)
        write_integers(out, kept)
        return
    out.head += bytes((FLOAT, scale.form | (_EXCEPTIONS if places else 0)))
    if scale.form == DECIMAL:
        out.head.append(scale.exponent)
    else:
        put_varint(out.head, scale.divisor)
    write_integers(out, kept)
    if places:
        write_exceptions(out, places, values)


def write_exceptions(out: BodyWriter, places: Sequence[int], values: Sequence[float]) -> None:
    """Append how many values of a column are exceptions, and where there are any these."""
    put_varint(out.head, len(places))
    if places:
        write_integers(out, places)
        write_integers(out, to_bits([values[place] for place in places]))


def read_floats(body: BodyReader, count: int) -> list[float]:
    """Give back a column of ``count`` floats.

    Raises:
        RemoteProtocolError: malformed.
    """
    form = body.head.byte()
    kind = form & 0x7F
    if form == BITS:
        return from_bits(read_integers(body, count))
    if kind == DECIMAL:
        exponent = body.head.byte()
        if exponent > MAX_EXPONENT:
            raise RemoteProtocolError(f"exponent is {exponent}: must be at most {MAX_EXPONENT}")
        divisor = 10**exponent
    elif kind in (RATIO, MEAN):
        divisor = body.head.varint(_MAX_DIVISOR, "divisor")
        if divisor < 1:
            raise RemoteProtocolError("divisor is 0: must be at least 1")
    else:
        raise RemoteProtocolError(f"float form is {form}: not a known form")
    numbers = _read_exact(body, count)
    if kind == MEAN:
        known = {number: _mean(number, divisor) for number in set(numbers)}
        values = list(map(known.__getitem__, numbers))
    else:
        values = [number / divisor for number in numbers]
    if form & _EXCEPTIONS:
        _put_exceptions(body, values)
    return values


def read_decimal_floats(body: BodyReader, count: int, exponent: int) -> list[float]:
    """Give back a column of ``count`` floats that are integers divided by ``10**exponent``.

    Raises:
        RemoteProtocolError: malformed.
    """
    divisor = 10**exponent
    return [number / divisor for number in _read_exact(body, count)]


def _read_exact(body: BodyReader, count: int) -> list[int]:
    numbers = read_integers(body, count)
    if not (min(numbers) > -MAX_EXACT and max(numbers) < MAX_EXACT):
        raise RemoteProtocolError("a scaled float is beyond 53 bits")
    return numbers


def _put_exceptions(body: BodyReader, values: list[float]) -> None:
    size = body.head.varint(len(values), "exception count")
    if size < 1:
        raise RemoteProtocolError("exception count is 0: must be at least 1")
    places = read_integers(body, size)
    if min(places) < 0 or max(places) >= len(values):
        raise RemoteProtocolError(f"an exception is outside its {len(values)} values")
    for place, value in zip(places, from_bits(read_integers(body, size)), strict=True):
        values[place] = value


def _is_negative(value: float) -> bool:
    return copysign(1.0, value) < 0


def _mean(number: float, divisor: int) -> float:
    return float(f"{number / divisor:.15g}")


def _fill(values: Sequence[float], places: list[int], numbers: dict[float, int]) -> list[int]:
    """Give the integers, with each exception standing in as its left neighbour."""
    excepted = set(places)
    kept = []
    last = numbers[next(v for p, v in enumerate(values) if p not in excepted)]
    for place, value in enumerate(values):
        if place not in excepted:
            last = numbers[value]
        kept.append(last)
    return kept


def _find_scale(pure: list[float]) -> _Scale | None:
    """Find the cheapest exact scale for distinct finite values, or none."""
    top = max(map(abs, pure))
    if top >= MAX_EXACT:
        return None
    decimals = sorted(map(decimals_of, pure[:: max(1, len(pure) // _SAMPLE)]))
    short = [count for count in decimals if count <= _SHORT_DECIMALS]
    if len(short) * 2 < len(decimals):
        return _find_ratio(pure, pure, top, 2) or _find_decimal(pure, top, decimals[-1])
    left = pure
    for exponent in range(short[-1], _SHORT_DECIMALS + 1):
        power = 10**exponent
        if top * power >= MAX_EXACT:
            return None
        left = [value for value in left if round(value * power) / power != value]
        if not left:
            numbers = {value: round(value * power) for value in pure}
            return _Scale(DECIMAL, power, exponent, numbers)
        if len(left) * 4 < len(pure) and exponent >= 2:
            break
    return _find_ratio(pure, left, top, exponent) or _find_decimal(pure, top, decimals[-1])


def as_integers(values: Sequence[float]) -> list[int]:
    """Return what stands for floats in their stream, to judge its cost; 0 for an exception."""
    pure = [value for value in dict.fromkeys(values) if isfinite(value)]
    scale = _find_scale(pure) if pure else None
    return to_bits(values) if scale is None else [scale.numbers.get(one, 0) for one in values]


def decimals_of(value: float) -> int:
    """Give how many decimals the shortest decimal form of a value has."""
    digits, _, power = repr(value).partition("e")
    count = 0 if digits.endswith(".0") else len(digits.partition(".")[2])
    return max(0, count - int(power)) if power else count


def _find_decimal(pure: list[float], top: float, exponent: int) -> _Scale | None:
    while exponent <= MAX_EXPONENT and top * 10**exponent < MAX_EXACT:
        power = 10**exponent
        numbers = {value: round(value * power) for value in pure}
        missed = [value for value, number in numbers.items() if number / power != value]
        if len(missed) * 8 <= len(pure):
            for value in missed:
                del numbers[value]
            return _Scale(DECIMAL, power, exponent, numbers)
        exponent += 1
    return None


def _find_ratio(pure: list[float], long: list[float], top: float, exponent: int) -> _Scale | None:
    """Find a divisor that makes long values integers: they are means of short readings.

    Args:
        pure: distinct finite values.
        long: those of them that have more than ``exponent`` decimals.
        top: the largest magnitude.
        exponent: decimals of a short reading.
    """
    base = 10 ** min(exponent, 4)
    sample = long[:: max(1, len(long) // _MEAN_SAMPLE)]
    form = MEAN if all(_mean(value, 1) == value for value in sample) else RATIO
    divide = _mean if form == MEAN else truediv
    divisor = base
    left = long
    for count in _COUNTS_OF_MEANS:
        trial = base * count
        if top * trial >= _MAX_MEAN or not left:
            break
        sample = left[:: max(1, len(left) // _MEAN_SAMPLE)]
        missed = sum(divide(round(value * trial), trial) != value for value in sample)
        if missed * 8 < len(sample) * 7:
            divisor *= count
            left = [value for value in left if divide(round(value * trial), trial) != value]
    if divisor == base or top * divisor >= _MAX_MEAN or divisor > _MAX_DIVISOR:
        return None
    numbers = {value: round(value * divisor) for value in pure}
    # a short value has at most 15 digits below the bound, so printing 15 of them keeps it
    missed_values = [v for v in long if divide(numbers[v], divisor) != v]
    if form == RATIO or exponent > 4:
        missed_values = [v for v in pure if divide(numbers[v], divisor) != v]
    if len(missed_values) * 8 > len(pure):
        return None
    for value in missed_values:
        del numbers[value]
    return _Scale(form, divisor, 0, numbers)


def to_bits(values: Sequence[float]) -> list[int]:
    """Return the bits of doubles as signed 64-bit numbers."""
    return list(struct.unpack(f"<{len(values)}q", struct.pack(f"<{len(values)}d", *values)))


def from_bits(numbers: list[int]) -> list[float]:
    """Give back the doubles."""
    return list(struct.unpack(f"<{len(numbers)}d", struct.pack(f"<{len(numbers)}q", *numbers)))
