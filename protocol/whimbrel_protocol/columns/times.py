"""Times of a frame: a byte for their order, then an integer stream.

Order is BY_SERIES (each sensor's times together, which makes a steady period vanish) or
AS_ACCEPTED, whichever has the shorter differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import ne, sub
from typing import Final

from whimbrel_protocol.columns.integers import read_integers, write_planned
from whimbrel_protocol.columns.planning import (
    DELTA,
    DELTA2,
    RUNS,
    Plan,
    plan_deltas,
    plan_integers,
)
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["read_times", "write_times"]

BY_SERIES: Final = 0
AS_ACCEPTED: Final = 1

_INT64: Final = 2**63


def write_times(out: BodyWriter, accepted: Sequence[int], by_series: Sequence[int]) -> None:
    """Append the times of a frame.

    Args:
        out: the body.
        accepted: times in nanoseconds, in the order of the events.
        by_series: the same times, series by series.
    """
    order, values, deltas = AS_ACCEPTED, accepted, _deltas(accepted)
    if accepted != by_series:
        others = _deltas(by_series)
        if _length(_second(others)) < min(_length(deltas), _length(_second(deltas))):
            order, values, deltas = BY_SERIES, by_series, others
    out.head.append(order)
    write_planned(out, values, _plan(values, deltas))


def read_times(body: BodyReader, places: list[list[int]], count: int) -> list[int]:
    """Give back the times in the order of the events.

    Args:
        body: the body.
        places: for each series, the places of its events among all.
        count: how many events.

    Raises:
        RemoteProtocolError: malformed.
    """
    order = body.head.byte()
    if order not in (BY_SERIES, AS_ACCEPTED):
        raise RemoteProtocolError(f"time order is {order}: must be 0 or 1")
    values = read_integers(body, count)
    if order == AS_ACCEPTED:
        return values
    times = [0] * count
    places_by_series = (at for part in places for at in part)
    for at, value in zip(places_by_series, values, strict=True):
        times[at] = value
    return times


def _plan(values: Sequence[int], deltas: list[int]) -> Plan:
    if len(values) < 4 or not any(deltas) or not -_INT64 <= deltas[0] < _INT64:
        return plan_integers(values)
    changes = sum(map(ne, values, values[1:]))
    second = _second(deltas)
    if _length(second) < _length(deltas):
        best = plan_deltas(DELTA2, (values[0], deltas[0]), second)
    else:
        best = plan_deltas(DELTA, (values[0],), deltas)
    if changes * 3 < len(values) and changes * 2.0 + 6 < best.cost:
        return Plan(changes * 2.0 + 6, RUNS)
    return best if best.cost < float("inf") else plan_integers(values)


def _deltas(values: Sequence[int]) -> list[int]:
    return list(map(sub, values[1:], values))


def _second(deltas: list[int]) -> list[int]:
    return list(map(sub, deltas[1:], deltas))


def _length(deltas: list[int]) -> int:
    """Bits of all differences together."""
    return sum(map(int.bit_length, deltas))
