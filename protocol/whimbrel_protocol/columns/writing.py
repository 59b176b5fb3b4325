"""Writing the body of one frame: tables of names, shapes and series, times, columns."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from whimbrel_protocol.columns.column import write_column
from whimbrel_protocol.columns.integers import plan_integers, write_integers, write_planned
from whimbrel_protocol.columns.regions import BodyWriter, put_varint
from whimbrel_protocol.columns.series import (
    AS_ACCEPTED,
    BY_SERIES,
    DEDUP_KEY,
    EXTENSIONS,
    MAPS,
    SUBJECT,
    Series,
    Shape,
    group_events,
)
from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_FRAME_VALUES

__all__ = ["write_body"]


def write_body(events: Sequence[Event], lane: int) -> tuple[bytes, list[int]]:
    """Lay out checked events of one lane; give the body and where its regions start.

    Raises:
        LocalProtocolError: more values or nested bytes than a frame may hold.
    """
    out = BodyWriter()
    out.head.append(lane)
    put_varint(out.head, len(events))
    if events:
        order, series, shapes = group_events(events)
        cells = sum(shape.cells() for shape in shapes)
        if cells > MAX_FRAME_VALUES:
            raise LocalProtocolError(
                f"frame has {cells} values: must be at most {MAX_FRAME_VALUES},"
                " seal fewer events at once"
            )
        _write_tables(out, series, shapes)
        if len(series) > 1:
            write_integers(out, order)
        _write_times(out, events, series)
        for shape in shapes:
            _write_shape(out, shape, [e for s in series if s.shape is shape for e in s.events])
    return out.finish()


def _write_tables(out: BodyWriter, series: list[Series], shapes: list[Shape]) -> None:
    names: dict[str, int] = {}
    rows = bytearray()

    def put_name(name: str) -> None:
        put_varint(rows, names.setdefault(name, len(names)))

    put_varint(rows, len(shapes))
    for shape in shapes:
        put_name(shape.type)
        rows.append(shape.flags)
        if not shape.flags & MAPS:
            put_varint(rows, len(shape.keys))
            for key in shape.keys:
                put_name(key)
            if shape.flags & EXTENSIONS:
                put_varint(rows, len(shape.extension_keys))
                for key in shape.extension_keys:
                    put_name(key)
    put_varint(rows, len(series))
    for one in series:
        put_varint(rows, one.shape.number)
        put_name(one.source)
        if one.zone is None:
            rows.append(0)
        else:
            put_varint(rows, names.setdefault(one.zone, len(names)) + 1)
    pieces = [name.encode() for name in names]
    put_varint(out.head, len(pieces))
    for piece in pieces:
        put_varint(out.head, len(piece))
    out.text += b"".join(pieces)
    out.head += rows


def _write_times(out: BodyWriter, events: Sequence[Event], series: list[Series]) -> None:
    accepted = [event.time_ns for event in events]
    plan = plan_integers(accepted, smooth=True)
    if len(series) > 1:
        grouped = [event.time_ns for one in series for event in one.events]
        other = plan_integers(grouped, smooth=True)
        if other.cost < plan.cost:
            out.head.append(BY_SERIES)
            write_planned(out, grouped, other)
            return
    out.head.append(AS_ACCEPTED)
    write_planned(out, accepted, plan)


def _write_shape(out: BodyWriter, shape: Shape, events: list[Event]) -> None:
    if shape.flags & SUBJECT:
        write_column(out, [event.subject for event in events])
    if shape.flags & DEDUP_KEY:
        write_column(out, [event.dedup_key for event in events])
    data = list(map(attrgetter("data"), events))
    if shape.flags & MAPS:
        write_column(out, data)
    else:
        for column in zip(*map(dict.values, data), strict=True):
            write_column(out, column)
    if shape.flags & EXTENSIONS:
        extensions = [event.extensions for event in events]
        if shape.flags & MAPS:
            write_column(out, extensions)
        else:
            for column in zip(*map(dict.values, extensions), strict=True):
                write_column(out, column)
