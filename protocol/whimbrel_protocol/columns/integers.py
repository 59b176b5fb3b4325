"""Streams of 64-bit integers: every other column is built from these.

A stream's count is always known from outside, so a stream starts with its form only::

    CONST   zigzag value                                   all values are this one
    PLANES  transform, first values, divisor, width byte   byte planes of what is left
    PACKED  transform, first values, divisor, bits         bit-packed instead
    TABLE   varint size, zigzag first, gaps, indices       ascending distinct values
    RUNS    varint runs, value stream, length stream       repeated neighbours
    BYTES   transform, first values, divisor               PLANES of one structured byte
    SMALL   bits in the form byte                          from 0: one plane, or packed
    ONE     value in the form byte                         CONST of 0 to 15
    CODED   number of a histogram in the form byte         by how often values come

The three before the last are short heads. A power of ten in first values and divisor is written once.
Which form is used is decided in ``planning``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, chain, pairwise, repeat
from math import gcd
from operator import lt, ne, sub
from typing import Final

from whimbrel_protocol.columns.coder import Coder
from whimbrel_protocol.columns.numbers import fold
from whimbrel_protocol.columns.planning import (
    BYTES,
    CODED,
    CONST,
    DELTA2,
    DIRECT,
    MAX_NEST,
    MAX_SHORT,
    ONE,
    PACKED,
    PLANES,
    RUNS,
    SMALL,
    TABLE,
    Plan,
    careful_cost,
    plan_integers,
    split_planes,
)
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint, put_zigzag
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["read_integers", "run_lengths", "run_starts", "write_integers", "write_planned"]

_HAS_DIVISOR: Final = 0x80
_SCALED: Final = 0x40

_MAX_POWER: Final = 18
"""The largest power of ten in signed 64 bits."""

_UINT64: Final = 2**64


def write_integers(out: BodyWriter, values: Sequence[int], nest: int = 0) -> None:
    """Append a stream of signed 64-bit integers.

    Args:
        out: the body; the stream's count is not written.
        values: at least one value, each within signed 64 bits.
        nest: how many streams are around this one.
    """
    if nest or out.coder is None:
        _write_as_planned(out, values, plan_integers(values, nest, light=out.light), nest)
    else:
        _write_shortest(out, out.coder, values, None)


def write_planned(out: BodyWriter, values: Sequence[int], plan: Plan | None) -> None:
    """Append a stream as ``plan_integers`` chose for the same values; None: it is still to choose."""
    if out.coder is not None:
        _write_shortest(out, out.coder, values, plan)
    else:
        _write_as_planned(out, values, plan or plan_integers(values, light=out.light), 0)


def _write_shortest(
    out: BodyWriter, coder: Coder, values: Sequence[int], plan: Plan | None
) -> None:
    """Append a stream as planned, or coded by its histogram where there is one and that is shorter."""
    offer = coder.offer(values)
    if offer is None or not offer.is_usual:
        plan = plan or plan_integers(values, light=out.light)
        cost_bytes = careful_cost(plan)
        if offer is None or cost_bytes <= offer.cost_bytes:
            coder.note(values, cost_bytes)
            _write_as_planned(out, values, plan, 0)
            return
    out.head.append(CODED | offer.number % 16 << 4 | offer.number // 16)
    coder.take(offer)


def _write_as_planned(out: BodyWriter, values: Sequence[int], plan: Plan, nest: int) -> None:
    if plan.form == CONST:
        _write_const(out.head, plan.firsts[0])
    elif plan.form == RUNS:
        _write_runs(out, values, nest)
    elif plan.form == TABLE:
        _write_table(out, values, nest)
    else:
        _write_plan(out, plan)


def read_integers(body: BodyReader, count: int, nest: int = 0) -> list[int]:
    """Give back a stream of ``count`` signed 64-bit integers.

    Raises:
        RemoteProtocolError: malformed.
    """
    form = body.head.byte()
    if form & CODED:
        return body.coded((form & 0x07) << 4 | form >> 4, count)
    kind = form & 0x0F
    if kind == ONE:
        return [form >> 4] * count
    if kind == SMALL:
        bits = form >> 4
        return _read_packed(body, count, bits) if bits else list(body.planes.take(count))
    if form in (CONST, CONST | _SCALED):
        power = _read_power(body, form)
        return fold([body.head.zigzag() * 10**power]) * count
    if form in (RUNS, TABLE) and nest >= MAX_NEST:
        raise RemoteProtocolError(f"integer streams must nest at most {MAX_NEST} deep")
    if form == RUNS:
        return _read_runs(body, count, nest)
    if form == TABLE:
        return _read_table(body, count, nest)
    if kind not in (PLANES, PACKED, BYTES):
        raise RemoteProtocolError(f"integer form is {form}: not a known form")
    return _read_plan(body, count, form)


def read_places(body: BodyReader, size: int, count: int) -> list[int]:
    """Give back the places of ``size`` rows among ``count``, ascending; ``size`` may be 0.

    Raises:
        RemoteProtocolError: malformed, or not ascending within ``count``.
    """
    places = read_integers(body, size) if size else []
    if places and not (
        places[0] >= 0 and places[-1] < count and all(lt(*pair) for pair in pairwise(places))
    ):
        raise RemoteProtocolError(f"places of rows are not ascending within {count}")
    return places


def _write_const(head: bytearray, value: int) -> None:
    if 0 <= value <= MAX_SHORT:
        head.append(ONE | value << 4)
        return
    power = _power_of_ten(value)
    head.append(CONST | (_SCALED if power else 0))
    if power:
        head.append(power)
    put_zigzag(head, value // 10**power)


def _write_plan(out: BodyWriter, plan: Plan) -> None:
    planes, noisy = ([], 0) if plan.form == PACKED else split_planes(plan)
    plain = len(planes) == 1 and not noisy
    from_zero = plan.transform == DIRECT and plan.firsts == (0,) and plan.divisor == 1
    if from_zero and (plain or (plan.form == PACKED and 0 < plan.bits <= MAX_SHORT)):
        out.head.append(SMALL | (0 if plain else plan.bits << 4))
    else:
        _write_lead(out.head, plan, BYTES if plain else plan.form)
        if plan.form == PACKED:
            out.head.append(plan.bits)
        elif not plain:
            out.head.append(len(planes) << 4 | noisy)
    if plan.form == PACKED:
        if plan.bits:
            out.noise += _pack(plan.rest, plan.bits)
        return
    for plane in planes[:noisy]:
        out.noise += plane
    for plane in planes[noisy:]:
        out.planes += plane


def _write_lead(head: bytearray, plan: Plan, form: int) -> None:
    divisor = plan.divisor
    power = _power_of_ten(gcd(divisor, *plan.firsts)) if divisor > 1 else 0
    if power:
        divisor //= 10**power
    flags = (_HAS_DIVISOR if divisor > 1 else 0) | (_SCALED if power else 0)
    head.append(form | plan.transform << 4 | flags)
    if power:
        head.append(power)
    for first in plan.firsts:
        put_zigzag(head, first // 10**power)
    if divisor > 1:
        put_varint(head, divisor)


def _power_of_ten(value: int) -> int:
    """Give how many zeros a number ends in, or 0 where so few are not worth their byte."""
    if not value or value % 1000:
        return 0
    power = 3
    while value % 10 ** (power + 1) == 0:
        power += 1
    return power


def _pack(rest: Sequence[int], bits: int) -> bytes:
    if bits == 1:
        digits = bytes(rest).translate(_DIGITS).decode("ascii")
    elif bits <= _FEW_BITS:
        digits = "".join(map(_binary(bits).__getitem__, rest))
    else:
        digits = "".join(map(f"{{:0{bits}b}}".format, rest))
    size_bytes = (len(digits) + 7) // 8
    return (int(digits, 2) << (size_bytes * 8 - len(digits))).to_bytes(size_bytes, "big")


@cache
def _binary(bits: int) -> list[str]:
    """Give the binary digits of every number of so many bits: four times faster than printing."""
    return [f"{number:0{bits}b}" for number in range(1 << bits)]


_DIGITS: Final = bytes([0x30, 0x31]) + bytes(254)
_FEW_BITS: Final = 8


def _unpack(data: bytes, bits: int, count: int) -> list[int]:
    digits = f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}"
    if bits == 1:
        return list(map(int, digits[:count]))
    return [int(digits[at : at + bits], 2) for at in range(0, count * bits, bits)]


def _read_plan(body: BodyReader, count: int, form: int) -> list[int]:
    head = body.head
    transform = form >> 4 & 0x03
    if transform > DELTA2 or transform >= count:
        raise RemoteProtocolError(f"integer transform is {transform}: not possible here")
    scale = 10 ** _read_power(body, form)
    first = head.zigzag() * scale
    second = head.zigzag() * scale if transform == DELTA2 else 0
    divisor = head.varint(_UINT64 - 1, "divisor") if form & _HAS_DIVISOR else 1
    if divisor == 0:
        raise RemoteProtocolError("divisor is 0: must be at least 1")
    divisor *= scale
    left = count - transform
    kind = form & 0x0F
    if kind == BYTES:
        rest = list(body.planes.take(left))
    elif kind == PACKED:
        rest = _read_packed(body, left, head.byte())
    else:
        rest = _read_planes(body, left)
    if transform == DIRECT:
        values = (
            [first + value * divisor for value in rest]
            if divisor > 1
            else ([first + value for value in rest] if first else rest)
        )
    else:
        deltas = [(value >> 1) ^ -(value & 1) for value in rest]
        if divisor > 1:
            deltas = [delta * divisor for delta in deltas]
        if transform == DELTA2:
            deltas = list(accumulate(deltas, initial=second))
        values = list(accumulate(deltas, initial=first))
    return fold(values)


def _read_power(body: BodyReader, form: int) -> int:
    power = body.head.byte() if form & _SCALED else 0
    if power > _MAX_POWER:
        raise RemoteProtocolError(f"power of ten is {power}: must be at most {_MAX_POWER}")
    return power


def _read_packed(body: BodyReader, count: int, bits: int) -> list[int]:
    if bits > 64:
        raise RemoteProtocolError(f"packed width is {bits} bits: must be at most 64")
    if bits == 0:
        return [0] * count
    return _unpack(body.noise.take((count * bits + 7) // 8), bits, count)


def _read_planes(body: BodyReader, count: int) -> list[int]:
    shape = body.head.byte()
    width, noisy = shape >> 4, shape & 0x0F
    if not 1 <= width <= 8 or noisy > width:
        raise RemoteProtocolError(f"plane shape is {shape:#04x}: width must be 1 to 8")
    if width == 1:
        return list((body.noise if noisy else body.planes).take(count))
    low = body.noise.take(count * noisy)
    high = body.planes.take(count * (width - noisy))
    planes = low + high
    data = bytearray(8 * count)
    for place in range(width):
        data[place::8] = planes[place * count : (place + 1) * count]
    return list(struct.unpack(f"<{count}Q", data))


# -- tables and runs ---------------------------------------------------------------------------


def _write_table(out: BodyWriter, values: Sequence[int], nest: int) -> None:
    table = sorted(set(values))
    out.head.append(TABLE)
    put_varint(out.head, len(table))
    put_zigzag(out.head, table[0])
    write_integers(out, fold(list(map(sub, table[1:], table))), nest + 1)
    places = dict(zip(table, range(len(table)), strict=True))
    write_integers(out, list(map(places.__getitem__, values)), nest + 1)


def _read_table(body: BodyReader, count: int, nest: int) -> list[int]:
    size = body.head.varint(count, "table size")
    if size < 2:
        raise RemoteProtocolError(f"table size is {size}: must be at least 2")
    first = body.head.zigzag()
    gaps = read_integers(body, size - 1, nest + 1)
    table = fold(list(accumulate(gaps, initial=first)))
    return look_up(table, read_integers(body, count, nest + 1))


def look_up(table: Sequence[int], places: list[int]) -> list[int]:
    """Give the table's entries at ``places``, which come from outside."""
    if places and not (min(places) >= 0 and max(places) < len(table)):
        raise RemoteProtocolError(f"an index is outside its table of {len(table)}")
    return list(map(table.__getitem__, places))


def _write_runs(out: BodyWriter, values: Sequence[int], nest: int) -> None:
    starts = run_starts(values)
    out.head.append(RUNS)
    put_varint(out.head, len(starts))
    write_integers(out, [values[start] for start in starts], nest + 1)
    write_integers(out, run_lengths(starts, len(values)), nest + 1)


def run_starts(values: Sequence[int]) -> list[int]:
    """Give the places at which a run of equal neighbours starts."""
    return [0, *(at for at, new in enumerate(map(ne, values, values[1:]), 1) if new)]


def run_lengths(starts: list[int], count: int) -> list[int]:
    """Give the length of each run."""
    return list(map(sub, [*starts[1:], count], starts))


def _read_runs(body: BodyReader, count: int, nest: int) -> list[int]:
    runs = body.head.varint(count, "run count")
    if runs < 1:
        raise RemoteProtocolError("run count is 0: must be at least 1")
    values = read_integers(body, runs, nest + 1)
    lengths = read_integers(body, runs, nest + 1)
    if min(lengths) < 1 or sum(lengths) != count:
        raise RemoteProtocolError(f"run lengths must be positive and add up to {count}")
    return list(chain.from_iterable(map(repeat, values, lengths)))
