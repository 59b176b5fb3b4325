"""Reading the body of one frame: every count is bounded before it is believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

from whimbrel_protocol.columns import kinds
from whimbrel_protocol.columns.checks import ShapeColumns, check_columns
from whimbrel_protocol.columns.column import read_column, read_column_of
from whimbrel_protocol.columns.computing import Computed, read_computed
from whimbrel_protocol.columns.following import Following, read_following
from whimbrel_protocol.columns.names import NameReader
from whimbrel_protocol.columns.ordering import read_given
from whimbrel_protocol.columns.regions import BodyReader
from whimbrel_protocol.columns.rollcall import BY_NAME, BY_ROSTER, Head, read_roll_call
from whimbrel_protocol.columns.roster import Roster, read_series, read_shapes
from whimbrel_protocol.columns.series import (
    DEDUP_KEY,
    EXTENSIONS,
    MAPS,
    SUBJECT,
    Series,
    Shape,
)
from whimbrel_protocol.columns.times import read_times
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.event import Event, make_event, validate_event
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import (
    MAX_FRAME_EVENTS,
    MAX_FRAME_VALUES,
)
from whimbrel_protocol.shared import NOTHING_SHARED, Shared

__all__ = ["read_body"]

_Row = tuple[Any, Any, Any, Any]


def read_body(raw: bytes, shared: Shared = NOTHING_SHARED) -> list[Event]:
    """Give back the events of a body, checked against every limit; ``shared`` is what it may use.

    Raises:
        RemoteProtocolError: malformed, or an event breaks a limit.
    """
    body = BodyReader(raw, [table.rows for table in shared.tables], shared.histograms)
    lane = body.head.byte()
    if lane >= len(LANES):
        raise RemoteProtocolError(f"lane number is {lane}: must be below {len(LANES)}")
    count = body.head.varint(MAX_FRAME_EVENTS, "event count")
    if count == 0:
        body.close()
        return []
    series, shapes, places, times = _read_head(body, count, shared.roster)
    events: dict[int, Event] = {}
    try:
        rows = _read_shapes(body, shapes, shared)
        body.close()
        for one, part in zip(series, places, strict=True):
            _fill(events, one, LANES[lane], zip(part, rows[one.shape.number], strict=False), times)
    except FieldError as exc:
        raise RemoteProtocolError(f"an event in the columns breaks a limit: {exc}") from exc
    return [events[at] for at in range(count)]


def _fill(
    events: dict[int, Event],
    one: Series,
    lane: str,
    rows: Iterator[tuple[int, _Row]],
    times: list[int],
) -> None:
    """Make the events of one series; the first of it stands for the names of all."""
    name, source, zone = one.shape.type, one.source, one.zone
    close_look = one.shape.close_look
    for at, (subject, dedup_key, data, extensions) in rows:
        event = make_event(
            name, source, times[at], data, zone, subject, lane, dedup_key, extensions
        )
        if close_look:
            validate_event(event)
        events[at] = event
    validate_event(event)


def _read_head(body: BodyReader, count: int, roster: Roster) -> Head:
    """Give who is in the frame, and the places and times of the events."""
    if roster:
        how = body.head.byte()
        if how == BY_ROSTER:
            return read_roll_call(body, roster, count)
        if how != BY_NAME:
            raise RemoteProtocolError(f"head of a frame is of kind {how}: must be 0 or 1")
    names = NameReader(body)
    shapes = read_shapes(body, names, count)
    series = read_series(body, names, shapes, count)
    if not series:
        raise RemoteProtocolError(f"{count} events have no series")
    for number, shape in enumerate(shapes):
        shape.number = number
    places = _read_places(body, count, len(series))
    for one, part in zip(series, places, strict=True):
        one.shape.size += len(part)
    if not all(shape.size for shape in shapes):
        raise RemoteProtocolError("a shape is named but has no event")
    return Head(series, shapes, places, read_times(body, places, count))


def _read_places(body: BodyReader, count: int, series: int) -> list[list[int]]:
    """Give, for each series, the places of its events among all."""
    if series == 1:
        return [list(range(count))]
    places = read_given(body, count, series)
    if not all(places):
        raise RemoteProtocolError("a series is named but has no event")
    return places


def _read_shapes(body: BodyReader, shapes: list[Shape], shared: Shared) -> list[Iterator[_Row]]:
    cells = sum(shape.cells() for shape in shapes)
    if cells > MAX_FRAME_VALUES:
        raise RemoteProtocolError(f"frame has {cells} values: must be at most {MAX_FRAME_VALUES}")
    return [_read_rows(body, shape, shared) for shape in shapes]


def _read_rows(body: BodyReader, shape: Shape, shared: Shared) -> Iterator[_Row]:
    size, flags = shape.size, shape.flags
    maps = bool(flags & MAPS)
    extension_columns = int(bool(flags & EXTENSIONS)) if maps else len(shape.extension_keys)
    columns = ShapeColumns(
        subjects=read_column(body, size) if flags & SUBJECT else (),
        dedup_keys=read_column(body, size) if flags & DEDUP_KEY else (),
        data=[read_column(body, size)] if maps else _read_data(body, shape, shared),
        extensions=[read_column(body, size) for _ in range(extension_columns)],
    )
    shape.close_look = not check_columns(shape, columns, body.budget)
    if maps:
        data = columns.data[0]
        extensions = columns.extensions[0] if extension_columns else _empty(size)
    else:
        data = _turn(shape.keys, columns.data, size)
        extensions = _turn(shape.extension_keys, columns.extensions, size)
    subjects = columns.subjects or repeat(None, size)
    dedup_keys = columns.dedup_keys or repeat(None, size)
    return zip(subjects, dedup_keys, data, extensions, strict=True)


def _read_data(body: BodyReader, shape: Shape, shared: Shared) -> list[Sequence[Any]]:
    """Give the columns of data; those that follow from others are told when all are read."""
    keys, size = len(shape.keys), shape.size
    columns: list[Sequence[Any] | Following | Computed] = []
    for place in range(keys):
        match body.head.byte():
            case kinds.FOLLOWS:
                columns.append(read_following(body, size, place, keys, shared.tables))
            case kinds.COMPUTED:
                columns.append(read_computed(body, size, keys, shared.formulas))
            case kind:
                columns.append(read_column_of(body, size, kind))
    told = [one.resolve(columns) if isinstance(one, Following) else one for one in columns]
    return [one.resolve(told) if isinstance(one, Computed) else one for one in told]


def _turn(
    keys: tuple[str, ...], columns: Sequence[Sequence[Any]], size: int
) -> list[dict[str, Any]]:
    """Turn columns back into maps."""
    if not keys:
        return _empty(size)
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


def _empty(size: int) -> list[dict[str, Any]]:
    return [{} for _ in range(size)]
