"""Writing the body of one frame: tables of names, shapes and series, times, columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from whimbrel_protocol.columns.checks import ShapeColumns, check_columns
from whimbrel_protocol.columns.coder import Coder, KnownTexts, Noted
from whimbrel_protocol.columns.column import write_column
from whimbrel_protocol.columns.computing import computations, write_computed
from whimbrel_protocol.columns.following import followers, leading, write_following
from whimbrel_protocol.columns.histograms import NO_HISTOGRAMS
from whimbrel_protocol.columns.integers import write_integers
from whimbrel_protocol.columns.knowntexts import write_known_texts
from whimbrel_protocol.columns.names import NameWriter
from whimbrel_protocol.columns.regions import BodyWriter, put_varint
from whimbrel_protocol.columns.rollcall import BY_NAME, BY_ROSTER, call_roll, write_roll_call
from whimbrel_protocol.columns.roster import Roster, put_series, put_shapes
from whimbrel_protocol.columns.series import (
    DEDUP_KEY,
    EXTENSIONS,
    MAPS,
    SUBJECT,
    Series,
    Shape,
    group_events,
)
from whimbrel_protocol.columns.times import write_times
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.event import Event, validate_event
from whimbrel_protocol.limits import MAX_FRAME_VALUES
from whimbrel_protocol.shared import NOTHING_SHARED, Shared

__all__ = ["Body", "streams_of", "write_body"]

_INT64: Final = 2**63

_OF_EXTENSIONS: Final = 16
"""Number of the first stream of extensions; the ones before are of subjects and dedup keys."""


class Body(NamedTuple):
    """A body, where its regions other than the first start, and whether it needs what is shared."""

    raw: bytes
    cuts: list[int]
    following: bool = False


def write_body(
    events: Sequence[Event], lane: int, *, light: bool = False, shared: Shared = NOTHING_SHARED
) -> Body:
    """Lay out events of one lane; ``shared`` is what the reader will have.

    Every limit is checked on the way, by columns. What is not even shaped like an event can
    end in TypeError, AttributeError or ValueError; ``validate_event`` then names the field.

    Raises:
        FieldError: an event breaks a limit.
        LocalProtocolError: more values or nested bytes than a frame may hold.
    """
    coder = Coder(shared.histograms) if shared.histograms and events else None
    out = BodyWriter(light=light, coder=coder)
    out.following = coder is not None
    out.head.append(lane)
    put_varint(out.head, len(events))
    if events:
        _write_events(out, events, shared)
    return Body(*out.finish(), out.following)


def streams_of(events: Sequence[Event], shared: Shared, known: KnownTexts) -> list[Noted]:
    """Return the streams of integers that a body of at least one event has beside what is shared.

    Args:
        events: as :func:`write_body` takes them, and it raises as that does.
        shared: what the reader will have.
        known: texts that its tables knew before; those of the events are added.
    """
    coder = Coder(NO_HISTOGRAMS, known)
    _write_events(BodyWriter(coder=coder), events, shared)
    return coder.noted


def _write_events(out: BodyWriter, events: Sequence[Event], shared: Shared) -> None:
    series, shapes = _write_head(out, events, shared.roster)
    for one in series:
        one.shape.events += one.events
    for shape in shapes:
        _write_shape(out, shape, shared)


def _write_head(
    out: BodyWriter, events: Sequence[Event], roster: Roster
) -> tuple[list[Series], list[Shape]]:
    """Append who is in the frame, times and order; give series and shapes as their columns lie."""
    order, series, shapes = group_events(events)
    cells = sum(shape.cells() for shape in shapes)
    if cells > MAX_FRAME_VALUES:
        raise LocalProtocolError(
            f"frame has {cells} values: must be at most {MAX_FRAME_VALUES},"
            " seal fewer events at once"
        )
    for one in series:
        validate_event(one.events[0])
    accepted = [event.time_ns for event in events]
    if set(map(type, accepted)) != {int} or not (
        min(accepted) >= -_INT64 and max(accepted) < _INT64
    ):
        raise ValueError("a time is not an integer of 64 bits")
    roll = call_roll(series, shapes, roster) if roster else None
    if roster:
        out.following = True
        out.head.append(BY_NAME if roll is None else BY_ROSTER)
    if roll is not None:
        write_roll_call(out, roll, roster, order)
        return roll.series, roll.shapes
    names = NameWriter(out)
    put_shapes(out, names, shapes)
    put_series(out, names, series)
    if len(series) > 1:
        write_integers(out, order)
    write_times(out, accepted, [[event.time_ns for event in one.events] for one in series])
    return series, shapes


def _write_shape(out: BodyWriter, shape: Shape, shared: Shared) -> None:
    events, flags = shape.events, shape.flags
    data = [event.data for event in events]
    extensions = [event.extensions for event in events] if flags & EXTENSIONS else []
    if set(map(type, chain(data, extensions))) != {dict}:
        raise TypeError("data and extensions must be maps")
    columns = ShapeColumns(
        subjects=[event.subject for event in events] if flags & SUBJECT else (),
        dedup_keys=[event.dedup_key for event in events] if flags & DEDUP_KEY else (),
        data=[data] if flags & MAPS else _turn(data),
        extensions=([extensions] if extensions else []) if flags & MAPS else _turn(extensions),
    )
    if not check_columns(shape, columns, out.budget):
        for event in events:
            validate_event(event)
    if out.coder is not None:
        out.coder.begin(shape.type, "")
    if columns.subjects:
        write_column(out, columns.subjects)
    if columns.dedup_keys:
        write_column(out, columns.dedup_keys)
    _write_data(out, shape, columns.data, NOTHING_SHARED if flags & MAPS else shared)
    if out.coder is not None:
        out.coder.begin(shape.type, "", _OF_EXTENSIONS)
    for column in columns.extensions:
        write_column(out, column)


def _write_data(
    out: BodyWriter, shape: Shape, columns: Sequence[Sequence[Any]], shared: Shared
) -> None:
    tables, formulas = shared.tables, shared.formulas
    ways = followers(shape, columns, tables) if tables else {}
    taken = {*ways, *(way.known for way in ways.values())}
    computed = (
        computations(shape, columns, formulas, taken=taken, light=out.light)
        if formulas and out.budget.computed_left >= len(columns)
        else {}
    )
    for place, column in enumerate(columns):
        if out.coder is not None and shape.keys:
            out.coder.begin(shape.type, shape.keys[place])
        if place in ways:
            way = ways[place]
            write_following(out, way, columns, place, tables[way.table])
        elif place in computed:
            write_computed(out, computed[place], column)
        elif tables and (known := leading(shape, place, column, tables)) is not None:
            write_known_texts(out, column, known)
        else:
            write_column(out, column)


def _turn(maps: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Turn maps of the same keys into their columns."""
    return list(zip(*map(dict.values, maps), strict=True))
