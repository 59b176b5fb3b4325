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

__all__ = ["CALLED", "NAMED", "Called", "Calling", "call", "read_calling", "write_calling"]

NAMED: Final = 0
CALLED: Final = 1
"""How a frame says who is in it, where its dictionary has a roster: by names as always, or so."""

_SPARSE: Final = 4
"""Where fewer than one in so many series of the roster have events, these are listed."""


class Called(NamedTuple):
    """A frame's series in the order of the roster, then the new ones.

    ``known`` are the places in the roster of the first ones.
    """

    known: list[int]
    series: list[Series]
    shapes: list[Shape]


class Calling(NamedTuple):
    """What a reader learns: series and shapes with events, places of each series' events, times."""

    series: list[Series]
    shapes: list[Shape]
    places: list[list[int]]
    times: list[int]


def call(series: Sequence[Series], shapes: Sequence[Shape], roster: Roster) -> Called | None:
    """Return the series of a frame by a roster; None where it knows less than half of them."""
    numbers = {
        one.number: roster.numbers.get(KnownSeries(KnownShape.of(one.shape), one.source, one.zone))
        for one in series
    }
    known = [one for one in series if numbers[one.number] is not None]
    if 2 * len(known) < len(series):
        return None
    known.sort(key=lambda one: numbers[one.number] or 0)
    new = [one for one in series if numbers[one.number] is None]
    places = [place for one in known if (place := numbers[one.number]) is not None]
    old = [shape for shape in shapes if KnownShape.of(shape) in roster.shapes]
    old.sort(key=lambda shape: roster.shapes[KnownShape.of(shape)])
    further = [shape for shape in shapes if KnownShape.of(shape) not in roster.shapes]
    return Called(places, [*known, *new], [*old, *further])


def write_calling(out: BodyWriter, called: Called, roster: Roster, order: Sequence[int]) -> None:
    """Append the head of a frame.

    Args:
        out: the body.
        called: the frame's series.
        roster: the dictionary's.
        order: the number of each event's series, in the order of the frame.
    """
    known, series, _ = called
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
    _write_new(out, called, roster)
    times = [[event.time_ns for event in one.events] for one in series]
    write_series_times(out, times, [one.shape.number for one in series])
    if len(series) > 1:
        numbers = {one.number: number for number, one in enumerate(series)}
        write_order(out, [numbers[one] for one in order], counts, [*chain.from_iterable(times)])


def _write_new(out: BodyWriter, called: Called, roster: Roster) -> None:
    names = NameWriter(out)
    number = len(roster.shapes)
    further: list[Shape] = []
    for shape in called.shapes:
        known = roster.shapes.get(KnownShape.of(shape))
        shape.number = number + len(further) if known is None else known
        if known is None:
            further.append(shape)
    put_shapes(out, names, further)
    new = called.series[len(called.known) :]
    put_series(out, names, new)
    if new:
        write_integers(out, [len(one.events) for one in new])


def read_calling(body: BodyReader, roster: Roster, count: int) -> Calling:
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
    return Calling(series, shapes, places, ordered)


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
