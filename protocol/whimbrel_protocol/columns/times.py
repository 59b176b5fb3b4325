"""Times of a frame: a byte for their order, then integer streams.

AS_ACCEPTED: one stream of all times, in the order of the events. BY_SERIES: a stream of the
first time of each series, then (when any series has more than one event) a stream of the
differences inside the series, series by series; a sensor's steady period then vanishes,
whatever the others do. The writer takes whichever has the shorter differences.

Where a dictionary knows the series (see ``rollcall``), one stream of all times when there is one series;
else a stream of first times, and when any series has more than one event, a byte for the differences: TOGETHER in one stream, or BY_SHAPE, one stream
for each shape of which a series has more than one. Tills that sell at random and sensors that keep a
period then have bytes of their own kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from operator import ne, sub
from typing import Final

from whimbrel_protocol.columns.integers import read_integers, write_integers, write_planned
from whimbrel_protocol.columns.numbers import fold
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

__all__ = ["read_series_times", "read_times", "write_series_times", "write_times"]

AS_ACCEPTED: Final = 0
BY_SERIES: Final = 1

TOGETHER: Final = 0
BY_SHAPE: Final = 1

_TIMES: Final = "times"
"""Under which name a histogram of a shape's differences is kept."""

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


def write_series_times(
    out: BodyWriter, by_series: Sequence[Sequence[int]], shapes: Sequence[int]
) -> None:
    """Append times series by series.

    Args:
        out: the body.
        by_series: times in nanoseconds, signed 64 bits, a sequence for each series.
        shapes: the number of each series' shape.
    """
    steps = [_deltas(times) for times in by_series]
    if len(by_series) == 1:
        write_planned(out, by_series[0], _plan(by_series[0], steps[0]))
        return
    firsts = [times[0] for times in by_series]
    write_planned(out, firsts, _plan(firsts, _deltas(firsts)))
    together = [step for inside in steps for step in inside]
    if not together:
        return
    parts = {
        shape: fold([step for at in members for step in steps[at]])
        for shape, members in _by_shape(shapes).items()
        if any(steps[at] for at in members)
    }
    coder = out.coder
    if coder is not None and any(coder.knows(("", _TIMES, shape)) for shape in parts):
        _write_by_shape(out, parts, {})
        return
    plans = {shape: plan_integers(part, light=out.light) for shape, part in parts.items()}
    folded = fold(together)
    plan = plan_integers(folded, light=out.light)
    if plan.cost <= sum(one.cost for one in plans.values()):
        out.head.append(TOGETHER)
        write_planned(out, folded, plan)
        return
    _write_by_shape(out, parts, plans)


def _write_by_shape(
    out: BodyWriter, parts: Mapping[int, Sequence[int]], plans: Mapping[int, Plan]
) -> None:
    out.head.append(BY_SHAPE)
    for shape, part in parts.items():
        if out.coder is not None:  # a shape of the roster has the same number in each frame
            out.coder.begin("", _TIMES, shape)
        write_planned(out, part, plans.get(shape))


def read_series_times(body: BodyReader, sizes: Sequence[int], shapes: Sequence[int]) -> list[int]:
    """Give back times, series by series.

    Args:
        body: the body.
        sizes: events of each series, at least 1 each.
        shapes: the number of each series' shape.

    Raises:
        RemoteProtocolError: malformed.
    """
    if len(sizes) == 1:
        return read_integers(body, sizes[0])
    firsts = read_integers(body, len(sizes))
    steps = _read_steps(body, sizes, shapes)
    times: list[int] = []
    for first, inside in zip(firsts, steps, strict=True):
        times += accumulate(inside, initial=first)
    return fold(times)


def _read_steps(body: BodyReader, sizes: Sequence[int], shapes: Sequence[int]) -> list[list[int]]:
    """Give the differences inside each series."""
    lengths = [size - 1 for size in sizes]
    if not any(lengths):
        return [[] for _ in sizes]
    how = body.head.byte()
    if how == TOGETHER:
        return list(_split(read_integers(body, sum(lengths)), lengths))
    if how != BY_SHAPE:
        raise RemoteProtocolError(f"differences of times are {how}: must be 0 or 1")
    found: list[list[int]] = [[] for _ in sizes]
    for members in _by_shape(shapes).values():
        inside = [lengths[at] for at in members]
        if any(inside):
            parts = _split(read_integers(body, sum(inside)), inside)
            for at, part in zip(members, parts, strict=True):
                found[at] = part
    return found


def _by_shape(shapes: Sequence[int]) -> dict[int, list[int]]:
    """Return the places of the series of each shape, in the order of the shapes' numbers."""
    members: dict[int, list[int]] = {}
    for at, shape in enumerate(shapes):
        members.setdefault(shape, []).append(at)
    return dict(sorted(members.items()))


def _split(values: list[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    start = 0
    for length in lengths:
        yield values[start : start + length]
        start += length


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
