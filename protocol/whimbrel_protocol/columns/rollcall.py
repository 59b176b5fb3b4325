"""The head of a body whose series a dictionary knows: how many of each, what is new, and the order.

::

    varint                     number p of series of the roster that have events
    (4p < series) stream of p  their places, ascending
    stream                     events of each of these; or of each series of the roster, 0 for none
    shapes, series             that are new; shapes are numbered after those of the roster
    (any new) stream           events of each
    times                      see ``times``: series by series
    (2 or more) order          see ``ordering``
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from whimbrel_protocol.columns.integers import read_integers, read_places, write_integers
from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.ordering import read_order, write_order
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.roster import (
    KnownSeries,
    KnownShape,
    Roster,
    put_series,
    put_shapes,
    read_series,
    read_shapes,
)
from whimbrel_protocol.columns.series import Series, Shape
from whimbrel_protocol.columns.times import read_series_times, write_series_times
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = [
    "BY_NAME",
    "BY_ROSTER",
    "Head",
    "RollCall",
    "call_roll",
    "read_roll_call",
    "write_roll_call",
]

BY_NAME: Final = 0
BY_ROSTER: Final = 1
"""How a frame says who is in it, where its dictionary has a roster: by names as always, or so."""

_SPARSE: Final = 4
"""Where fewer than one in so many series of the roster have events, these are listed."""


class RollCall(NamedTuple):
    """A frame's series as its dictionary's roster has them.

    Attributes:
        known: places in the roster of those that it knows.
        series: these, then the new ones.
        shapes: in the order in which their columns lie, numbered as the roster does.
    """

    known: list[int]
    series: list[Series]
    shapes: list[Shape]


class Head(NamedTuple):
    """What a reader learns: series and shapes with events, places of each series' events, times."""

    series: list[Series]
    shapes: list[Shape]
    places: list[list[int]]
    times: list[int]


def call_roll(series: Sequence[Series], shapes: Sequence[Shape], roster: Roster) -> RollCall | None:
    """Number a frame's series and shapes by a roster; None where it knows less than half of them."""
    numbers = ((roster.numbers.get(KnownSeries.of(one)), one) for one in series)
    known = sorted(((place, one) for place, one in numbers if place is not None), key=itemgetter(0))
    if 2 * len(known) < len(series):
        return None
    for shape in shapes:
        shape.number = roster.shapes.get(KnownShape.of(shape), -1)
    further = (shape for shape in shapes if shape.number < 0)
    for number, shape in enumerate(further, len(roster.shapes)):
        shape.number = number
    present = {one.number for _, one in known}
    new = [one for one in series if one.number not in present]
    return RollCall(
        [place for place, _ in known],
        [*(one for _, one in known), *new],
        sorted(shapes, key=attrgetter("number")),
    )


def write_roll_call(out: BodyWriter, roll: RollCall, roster: Roster, order: Sequence[int]) -> None:
    """Append the head of a frame.

    Args:
        out: the body.
        roll: the frame's series.
        roster: the dictionary's.
        order: the number of each event's series, in the order of the frame.
    """
    known, series, _ = roll
    counts = [len(one.events) for one in series]
    put_varint(out.head, len(known))
    if _SPARSE * len(known) < len(roster.series):
        if known:
            write_integers(out, known)
            write_integers(out, counts[: len(known)])
    else:
        all_counts = [0] * len(roster.series)
        for place, count in zip(known, counts, strict=False):
            all_counts[place] = count
        write_integers(out, all_counts)
    _write_new(out, roll, roster)
    times = [[event.time_ns for event in one.events] for one in series]
    write_series_times(out, times, [one.shape.number for one in series])
    if len(series) > 1:
        if out.coder is not None:
            out.coder.begin("", "order")
        numbers = {one.number: number for number, one in enumerate(series)}
        write_order(out, [numbers[one] for one in order], counts, [*chain.from_iterable(times)])


def _write_new(out: BodyWriter, roll: RollCall, roster: Roster) -> None:
    names = NameWriter(out)
    new = roll.series[len(roll.known) :]
    put_shapes(out, names, [one for one in roll.shapes if one.number >= len(roster.shapes)])
    put_series(out, names, new)
    if new:
        write_integers(out, [len(one.events) for one in new])


def read_roll_call(body: BodyReader, roster: Roster, count: int) -> Head:
    """Give back the head of a frame of so many events.

    Raises:
        RemoteProtocolError: malformed.
    """
    shapes = [Shape(*known) for known in roster.shapes]
    counts = _read_counts(body, roster, count)
    series = [
        Series(shapes[roster.shapes[one.shape]], one.source, one.zone, number)
        for number, one in enumerate(roster.series)
        if number in counts
    ]
    sizes = list(counts.values())
    names = NameReader(body)
    further = read_shapes(body, names, count)
    shapes += further
    new = read_series(body, names, shapes, count)
    series += new
    if new:
        sizes += read_integers(body, len(new))
    if not series or min(sizes) < 1 or sum(sizes) != count:
        raise RemoteProtocolError(f"the events of the series are not {count}, or one has none")
    for one, size in zip(series, sizes, strict=True):
        one.shape.size += size
    if not all(shape.size for shape in further):
        raise RemoteProtocolError("a shape is named but has no event")
    shapes = [shape for shape in shapes if shape.size]
    for number, shape in enumerate(shapes):
        shape.number = number
    times = read_series_times(body, sizes, [one.shape.number for one in series])
    places = read_order(body, sizes, times) if len(series) > 1 else [list(range(count))]
    ordered = [0] * count
    at = iter(times)
    for part in places:
        for place in part:
            ordered[place] = next(at)
    return Head(series, shapes, places, ordered)


def _read_counts(body: BodyReader, roster: Roster, count: int) -> dict[int, int]:
    """Give how many events each series of the roster has that has any, by its place."""
    size = len(roster.series)
    present = body.head.varint(min(size, count), "series of the roster")
    if _SPARSE * present < size:
        places = read_places(body, present, size)
        counts = dict(zip(places, read_integers(body, present) if present else (), strict=True))
    else:
        counts = {at: one for at, one in enumerate(read_integers(body, size)) if one}
    if len(counts) != present or min(counts.values(), default=1) < 1:
        raise RemoteProtocolError(f"{present} series of the roster should have events")
    return counts
