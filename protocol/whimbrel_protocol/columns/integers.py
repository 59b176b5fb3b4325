"""Streams of 64-bit integers: every other column is built from these.

A stream's count is always known from outside, so a stream starts with its form only::

    CONST   zigzag value                                   all values are this one
    PLANES  transform, first values, divisor, width byte   byte planes of what is left
    PACKED  transform, first values, divisor, bits         bit-packed instead
    TABLE   varint size, zigzag first, gaps, indices       ascending distinct values
    RUNS    varint runs, value stream, length stream       repeated neighbours

Which form is used is decided in ``planning``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, chain, repeat
from operator import ne, sub
from typing import Final

from whimbrel_protocol.columns.planning import (
    CONST,
    DELTA2,
    DIRECT,
    MAX_NEST,
    PACKED,
    PLANES,
    RUNS,
    TABLE,
    Plan,
    plan_integers,
    split_planes,
)
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint, put_zigzag
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["read_integers", "run_lengths", "run_starts", "write_integers", "write_planned"]

_HAS_DIVISOR: Final = 0x80
_UINT64: Final = 2**64


def write_integers(out: BodyWriter, values: Sequence[int], nest: int = 0) -> None:
    """Append a stream of signed 64-bit integers.

    Args:
        out: the body; the stream's count is not written.
        values: at least one value, each within signed 64 bits.
        nest: how many streams are around this one.
    """
    write_planned(out, values, plan_integers(values, nest), nest)


def write_planned(out: BodyWriter, values: Sequence[int], plan: Plan, nest: int = 0) -> None:
    """Append a stream as ``plan_integers`` chose for the same values and nesting."""
    if plan.form == CONST:
        out.head.append(CONST)
        put_zigzag(out.head, plan.firsts[0])
    elif plan.form == RUNS:
        _write_runs(out, values, nest)
    elif plan.form == TABLE:
        _write_table(out, values, nest)
    else:
        _write_plan(out, plan)


def read_integers(body: BodyReader, count: int, nest: int = 0) -> list[int]:
    """Give back a stream of ``count`` signed 64-bit integers.

    Raises:
        RemoteProtocolError: malformed, or a value beyond 64 bits.
    """
    form = body.head.byte()
    if form == CONST:
        return [body.head.zigzag()] * count
    if form in (RUNS, TABLE) and nest >= MAX_NEST:
        raise RemoteProtocolError(f"integer streams must nest at most {MAX_NEST} deep")
    if form == RUNS:
        return _read_runs(body, count, nest)
    if form == TABLE:
        return _read_table(body, count, nest)
    if form & 0x0F not in (PLANES, PACKED):
        raise RemoteProtocolError(f"integer form is {form}: not a known form")
    return _read_plan(body, count, form)


def _write_plan(out: BodyWriter, plan: Plan) -> None:
    head = out.head
    head.append(plan.form | plan.transform << 4 | (_HAS_DIVISOR if plan.divisor > 1 else 0))
    for first in plan.firsts:
        put_zigzag(head, first)
    if plan.divisor > 1:
        put_varint(head, plan.divisor)
    if plan.form == PACKED:
        head.append(plan.bits)
        if plan.bits:
            out.noise += _pack(plan.rest, plan.bits)
        return
    planes, noisy = split_planes(plan)
    head.append(len(planes) << 4 | noisy)
    for plane in planes[:noisy]:
        out.noise += plane
    for plane in planes[noisy:]:
        out.planes += plane


def _pack(rest: Sequence[int], bits: int) -> bytes:
    if bits == 1:
        digits = bytes(rest).translate(_DIGITS).decode("ascii")
    else:
        digits = "".join(map(f"{{:0{bits}b}}".format, rest))
    size_bytes = (len(digits) + 7) // 8
    return (int(digits, 2) << (size_bytes * 8 - len(digits))).to_bytes(size_bytes, "big")


_DIGITS: Final = bytes([0x30, 0x31]) + bytes(254)


def _unpack(data: bytes, bits: int, count: int) -> list[int]:
    digits = f"{int.from_bytes(data, 'big'):0{len(data) * 8}b}"
    if bits == 1:
        return list(map(int, digits[:count]))
    return [int(digits[at : at + bits], 2) for at in range(0, count * bits, bits)]


def _read_plan(body: BodyReader, count: int, form: int) -> list[int]:
    head = body.head
    transform = form >> 4 & 0x07
    if transform > DELTA2 or transform >= count:
        raise RemoteProtocolError(f"integer transform is {transform}: not possible here")
    first = head.zigzag()
    second = head.zigzag() if transform == DELTA2 else 0
    divisor = head.varint(_UINT64 - 1, "divisor") if form & _HAS_DIVISOR else 1
    if divisor == 0:
        raise RemoteProtocolError("divisor is 0: must be at least 1")
    left = count - transform
    rest = _read_packed(body, left) if form & 0x0F == PACKED else _read_planes(body, left)
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
    _check_range(values)
    return values


def _read_packed(body: BodyReader, count: int) -> list[int]:
    bits = body.head.byte()
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


def _check_range(values: list[int]) -> None:
    if values and not (min(values) >= -(2**63) and max(values) < 2**63):
        raise RemoteProtocolError("an integer column leaves the range of 64 bits")


# -- tables and runs ---------------------------------------------------------------------------


def _write_table(out: BodyWriter, values: Sequence[int], nest: int) -> None:
    table = sorted(set(values))
    out.head.append(TABLE)
    put_varint(out.head, len(table))
    put_zigzag(out.head, table[0])
    write_integers(out, _to_signed(list(map(sub, table[1:], table))), nest + 1)
    places = dict(zip(table, range(len(table)), strict=True))
    write_integers(out, list(map(places.__getitem__, values)), nest + 1)


def _read_table(body: BodyReader, count: int, nest: int) -> list[int]:
    size = body.head.varint(count, "table size")
    if size < 2:
        raise RemoteProtocolError(f"table size is {size}: must be at least 2")
    first = body.head.zigzag()
    gaps = read_integers(body, size - 1, nest + 1)
    table = list(accumulate((gap % _UINT64 for gap in gaps), initial=first))
    _check_range(table)
    return look_up(table, read_integers(body, count, nest + 1))


def look_up(table: Sequence[int], places: list[int]) -> list[int]:
    """Give the table's entries at ``places``, which come from outside."""
    if places and not (min(places) >= 0 and max(places) < len(table)):
        raise RemoteProtocolError(f"an index is outside its table of {len(table)}")
    return list(map(table.__getitem__, places))


def _to_signed(values: list[int]) -> list[int]:
    """Fold gaps of up to 64 bits into the signed range that a stream carries."""
    if max(values) < 2**63:
        return values
    return [value - _UINT64 if value >= 2**63 else value for value in values]


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
