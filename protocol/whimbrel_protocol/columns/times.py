"""Times of a frame: a byte for their order, then integer streams.

AS_ACCEPTED: one stream of all times, in the order of the events. BY_SERIES: a stream of the
first time of each series, then (when any series has more than one event) a stream of the
differences inside the series, series by series; a sensor's steady period then vanishes,
whatever the others do. The writer takes whichever has the shorter differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import ne, sub
from typing import Final

from whimbrel_protocol.columns.integers import fold, read_integers, write_integers, write_planned
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

AS_ACCEPTED: Final = 0
BY_SERIES: Final = 1

_INT64: Final = 2**63


def write_times(
    out: BodyWriter, accepted: Sequence[int], by_series: Sequence[Sequence[int]]
) -> None:
    """Append the times of a frame.

    Args:
        out: the body.
        accepted: times in nanoseconds, signed 64 bits, in the order of the events.
        by_series: the same times, a sequence for each series.
    """
    deltas = _deltas(accepted)
    if len(by_series) > 1:
        steps = [step for times in by_series for step in _deltas(times)]
        firsts = [times[0] for times in by_series]
        if _fits(steps) and _length(_deltas(steps)) + _length(_deltas(firsts)) < _length(deltas):
            out.head.append(BY_SERIES)
            write_planned(out, firsts, _plan(firsts, _deltas(firsts)))
            if steps:
                write_integers(out, steps)
            return
    out.head.append(AS_ACCEPTED)
    write_planned(out, accepted, _plan(accepted, deltas))


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
    if order == AS_ACCEPTED:
        return read_integers(body, count)
    if order != BY_SERIES:
        raise RemoteProtocolError(f"time order is {order}: must be 0 or 1")
    firsts = read_integers(body, len(places))
    steps = iter(read_integers(body, count - len(places)) if count > len(places) else ())
    times = [0] * count
    for first, part in zip(firsts, places, strict=True):
        inside = (next(steps) for _ in range(len(part) - 1))
        for at, time_ns in zip(part, accumulate(inside, initial=first), strict=True):
            times[at] = time_ns
    return fold(times)


def _plan(values: Sequence[int], deltas: list[int]) -> Plan:
    """Plan times: like any integers, but second differences are worth a try."""
    if len(values) < 4 or not any(deltas) or not _fits(deltas[:1]):
        return plan_integers(values)
    changes = sum(map(ne, values, values[1:]))
    second = _deltas(deltas)
    if _length(second) < _length(deltas):
        best = plan_deltas(DELTA2, (values[0], deltas[0]), second)
    else:
        best = plan_deltas(DELTA, (values[0],), deltas)
    if changes * 3 < len(values) and changes * 2.0 + 6 < best.cost:
        return Plan(changes * 2.0 + 6, RUNS)
    return best if best.cost < float("inf") else plan_integers(values)


def _deltas(values: Sequence[int]) -> list[int]:
    return list(map(sub, values[1:], values))


def _fits(steps: list[int]) -> bool:
    return not steps or (min(steps) >= -_INT64 and max(steps) < _INT64)


def _length(deltas: list[int]) -> int:
    """Bits of all differences together."""
    return sum(map(int.bit_length, deltas))
