"""Choosing how to write a stream of integers: estimated costs, never guesses about exactness.

The writer tries the forms that could pay and keeps the one with the lowest estimated cost after
an entropy coder. Streams of up to 16 bits are judged by the entropy of their byte planes, wider
ones by the lengths of their numbers. The choice is a pure function of the values.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, gcd, log2
from operator import ne, sub
from typing import Final

__all__ = [
    "BYTES",
    "CODED",
    "CONST",
    "DELTA",
    "DELTA2",
    "DIRECT",
    "MAX_NEST",
    "MAX_SHORT",
    "ONE",
    "PACKED",
    "PLANES",
    "RUNS",
    "SMALL",
    "TABLE",
    "Plan",
    "careful_cost",
    "plan_deltas",
    "plan_integers",
    "split_planes",
]

CONST: Final = 0
TABLE: Final = 1
RUNS: Final = 2
PLANES: Final = 3
PACKED: Final = 4
BYTES: Final = 5
SMALL: Final = 6
ONE: Final = 7
"""Forms of a stream; the last three are short ways to write PLANES, PACKED and CONST."""

CODED: Final = 8
"""This bit and the others but it: the number of one of up to 128 histograms (see ``histograms``)."""

DIRECT: Final = 0
DELTA: Final = 1
DELTA2: Final = 2
"""What is written: the values less the least, their differences, or those of the differences."""

MAX_NEST: Final = 3
"""A table of runs of a table is the deepest nesting that ever paid."""

_SMALL: Final = 16
"""Below this many values neither a table nor runs can pay for their heads."""

_NOISE_BITS: Final = 7.4
_NOISE_SHARE: Final = 0.92
"""A plane above this entropy per byte, or this share of what so few bytes can have at all, goes
where no codec need look at it."""

_REPEATS_BITS: Final = 2.5
"""A plane above this entropy has no long repeats worth looking for."""

_LEAST_BITS: Final = 1.05
"""The entropy coders in use spend at least one bit on a byte."""

_SHORT_PLANE: Final = 128
"""In a plane shorter than this an entropy coder also spends about a byte to learn of each
value; measured on frames of 20 to 500 events. With 256 bytes would fall by a further 1 per cent of
large frames, but their encoding would take 5 per cent longer."""

_UNEVEN_BITS: Final = 0.3
"""A plane of measured noise has so much less than if its bytes were even."""

_PLANES_HEAD_BYTES: Final = 3

MAX_SHORT: Final = 15
"""What fits the upper half of the form byte."""

_INT64: Final = 2**63
_UINT64: Final = 2**64
_LOGS: Final[list[float]] = [0.0, *(n * log2(n) for n in range(1, 1025))]


@dataclass(slots=True)
class Plan:
    """One way to write a stream: its estimated cost in bytes and what it needs.

    ``planes`` and ``entropies`` are there when judging the plan made them anyway.
    """

    cost: float
    form: int
    transform: int = DIRECT
    firsts: tuple[int, ...] = ()
    divisor: int = 1
    rest: Sequence[int] = ()
    bits: int = 0
    planes: Sequence[bytes] = ()
    entropies: Sequence[float] = ()


def plan_integers(values: Sequence[int], nest: int = 0, *, light: bool = False) -> Plan:
    """Choose how to write a stream.

    Args:
        values: at least one value, each within signed 64 bits.
        nest: how many streams are around this one.
        light: judge byte planes by how many different bytes they have.

    Returns:
        The plan with the lowest estimated cost in bytes.
    """
    size = len(values)
    low, high = min(values), max(values)
    span = high - low
    if span == 0:
        return Plan(6.0, CONST, firsts=(low,))
    best = _plan_direct(values, low, span, light=light)
    if size > 2 and span > 1:
        deltas = list(map(sub, values[1:], values))
        if min(deltas) == max(deltas) and -_INT64 <= deltas[0] < _INT64:
            return plan_deltas(DELTA2, (values[0], deltas[0]), [0] * (size - 2))
        if sum(map(abs, deltas)) * 2 < sum(values) - low * size:
            best = _cheaper(best, plan_deltas(DELTA, (values[0],), deltas, light=light))
    if nest >= MAX_NEST or size < _SMALL:
        return best
    distinct = len(set(values))
    if distinct * 3 < size:
        changes = sum(map(ne, values, values[1:]))
        if changes * 3 < size:
            best = _cheaper(best, Plan(6 + changes * 2.0, RUNS))
    if span > 255 and distinct * 4 < size * 3:
        gap_bits = max(1.0, log2(span / distinct) + 1.5)
        cost = 8 + distinct * gap_bits / 8 + size * max(0.9 * log2(distinct), _LEAST_BITS) / 8
        best = _cheaper(best, Plan(cost, TABLE))
    return best


def plan_deltas(
    transform: int, firsts: tuple[int, ...], deltas: list[int], *, light: bool = False
) -> Plan:
    """Plan signed differences; the cost is infinite where they need more than 64 bits."""
    divisor = gcd(*deltas)
    if divisor > 1:
        deltas = [delta // divisor for delta in deltas]
    rest = [delta << 1 if delta >= 0 else ~(delta << 1) for delta in deltas]
    top = max(rest)
    if top >= _UINT64:
        return Plan(float("inf"), PLANES)
    return _plan_rest(transform, firsts, max(divisor, 1), rest, top, light=light)


def split_planes(plan: Plan) -> tuple[Sequence[bytes], int]:
    """Give the byte planes of a plan, lowest first, and how many of the low ones are noise."""
    planes = plan.planes or _split(plan.rest, (plan.bits + 7) // 8)
    size = len(plan.rest)
    limit = min(_NOISE_BITS, _NOISE_SHARE * log2(size)) if size >= 8 else 8.0
    noisy = 0
    for place, plane in enumerate(planes):
        entropy = plan.entropies[place] if plan.entropies else _entropy(plane)
        if entropy < limit:
            break
        noisy += 1
    return planes, noisy


def careful_cost(plan: Plan) -> float:
    """Return what a plan takes in bytes, where more depends on it than a choice among plans.

    Those are judged alike by what they have of random bytes; in fact such bytes take eight bits each, and
    an entropy coder must tell about half a byte for each value that comes.
    """
    if plan.form == CONST and 0 <= plan.firsts[0] <= MAX_SHORT:
        return 1.0
    if plan.form != PLANES:
        return plan.cost
    planes, noisy = split_planes(plan)
    told = (_told_cost(plane) for plane in planes[noisy:])
    return sum(map(len, planes[:noisy])) + sum(told) + _PLANES_HEAD_BYTES


def _told_cost(plane: bytes) -> float:
    spread = len(plane) * max(_entropy(plane), _LEAST_BITS) / 8 + len(set(plane)) / 2
    changes: int = sum(map(ne, plane, plane[1:]))
    return min(len(plane), spread, 3 + 2.5 * changes)


def _cheaper(best: Plan, other: Plan) -> Plan:
    return other if other.cost < best.cost else best


def _plan_direct(values: Sequence[int], low: int, span: int, *, light: bool) -> Plan:
    rest = [value - low for value in values] if low else values
    divisor = 1
    if span > 255:
        divisor = gcd(*rest)
        if divisor > 1:
            rest = [value // divisor for value in rest]
    return _plan_rest(DIRECT, (low,), divisor, rest, span // divisor, light=light)


def _plan_rest(
    transform: int, firsts: tuple[int, ...], divisor: int, rest: Sequence[int], top: int,
    *, light: bool,
) -> Plan:  # fmt: skip
    bits = top.bit_length()
    size = len(rest)
    packed = size * bits / 8
    planes: Sequence[bytes] = ()
    entropies: list[float] = []
    if bits > 16:
        cost = min(packed, (sum(map(int.bit_length, rest)) + size) / 8)
    elif bits > 1:
        planes = [bytes(rest)] if bits <= 8 else _split(rest, 2)
        entropies = list(map(_rough_entropy if light else _entropy, planes))
        cost = sum(map(_plane_cost, planes, entropies))
    else:
        cost = packed  # no coder in use spends less than a bit on a byte
    overhead = 4.0 + (bits > 8)
    if packed <= cost and bits <= 16:
        return Plan(packed + overhead, PACKED, transform, firsts, divisor, rest, bits)
    return Plan(cost + overhead, PLANES, transform, firsts, divisor, rest, bits, planes, entropies)


def _plane_cost(plane: bytes, entropy: float) -> float:
    """Estimate what a codec makes of one plane: entropy coded, or mostly long repeats."""
    cost = len(plane) * max(entropy, _LEAST_BITS) / 8
    if len(plane) < _SHORT_PLANE:
        cost += len(set(plane))
    if entropy > _REPEATS_BITS:
        return cost
    changes: int = sum(map(ne, plane, plane[1:]))
    return min(cost, 3 + 2.5 * changes)


def _entropy(plane: bytes) -> float:
    """Bits per byte of an order-0 model."""
    size = len(plane)
    counts = Counter(plane).values()
    if size <= 1024:
        used = fsum([_LOGS[count] for count in counts])
    else:
        used = fsum(count * log2(count) for count in counts)
    entropy: float = log2(size) - used / size
    return entropy


def _rough_entropy(plane: bytes) -> float:
    """The same, from nothing but how many different bytes there are: as if they were nearly even."""
    return max(0.0, log2(len(set(plane))) - _UNEVEN_BITS)


def _split(rest: Sequence[int], width: int) -> list[bytes]:
    if width == 2:
        data = struct.pack(f"<{len(rest)}H", *rest)
        return [data[0::2], data[1::2]]
    data = struct.pack(f"<{len(rest)}Q", *rest)
    return [data[place::8] for place in range(width)]
