"""Who is in a frame: shapes and series by name, and those that a dictionary knows beforehand.

A device's frames are about the same few series, week after week. A dictionary may list them (its
*roster*); a frame then says how many events it has of each, and names only those that are new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.columns.series import (
    DEDUP_KEY,
    EXTENSIONS,
    MAPS,
    SUBJECT,
    Series,
    Shape,
    shape_of,
)
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_DATA_KEYS, MAX_ROSTER

__all__ = [
    "NO_ROSTER",
    "KnownSeries",
    "KnownShape",
    "Roster",
    "put_roster",
    "put_series",
    "put_shapes",
    "read_roster",
    "read_series",
    "read_shapes",
    "series_of",
]


class KnownShape(NamedTuple):
    """What makes a shape: its type, flags, and keys in their order."""

    type: str
    flags: int
    keys: tuple[str, ...]
    extension_keys: tuple[str, ...]

    @staticmethod
    def of(shape: Shape) -> KnownShape:
        """Return what makes this one."""
        return KnownShape(shape.type, shape.flags, shape.keys, shape.extension_keys)


class KnownSeries(NamedTuple):
    """A shape at one source and zone."""

    shape: KnownShape
    source: str
    zone: str | None

    @staticmethod
    def of(one: Series) -> KnownSeries:
        """Return what makes this one."""
        return KnownSeries(KnownShape.of(one.shape), one.source, one.zone)


def series_of(event: Event) -> KnownSeries:
    """Return the series that an event is of."""
    return KnownSeries(KnownShape.of(shape_of(event)), event.source, event.zone)


@dataclass(frozen=True, slots=True)
class Roster:
    """The series that a dictionary knows; frames name them by their places.

    Attributes:
        series: each once.
        numbers: their places.
        shapes: of all of them, and their places, in the order in which they come.
    """

    series: tuple[KnownSeries, ...] = ()
    numbers: dict[KnownSeries, int] = field(init=False, repr=False, compare=False)
    shapes: dict[KnownShape, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shapes: dict[KnownShape, int] = {}
        for one in self.series:
            shapes.setdefault(one.shape, len(shapes))
        numbers = {one: number for number, one in enumerate(self.series)}
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "shapes", shapes)

    def __bool__(self) -> bool:
        return bool(self.series)


NO_ROSTER: Final = Roster()


def put_roster(out: BodyWriter, names: NameWriter, roster: Roster) -> None:
    """Append a dictionary's series."""
    shapes = [Shape(*known, number=number) for number, known in enumerate(roster.shapes)]
    put_shapes(out, names, shapes)
    put_series(
        out,
        names,
        [
            Series(shapes[roster.shapes[one.shape]], one.source, one.zone, number)
            for number, one in enumerate(roster.series)
        ],
    )


def read_roster(body: BodyReader, names: NameReader) -> Roster:
    """Give back a dictionary's series.

    Raises:
        RemoteProtocolError: malformed, beyond a limit, or a series stands there twice.
    """
    shapes = read_shapes(body, names, MAX_ROSTER)
    series = read_series(body, names, shapes, MAX_ROSTER)
    known = tuple(map(KnownSeries.of, series))
    roster = Roster(known)
    if len(roster.numbers) != len(known) or not (known or body.head.left()):
        raise RemoteProtocolError("a dictionary's roster names no series, or one twice")
    if [*roster.shapes] != [KnownShape.of(shape) for shape in shapes]:
        raise RemoteProtocolError("a dictionary's roster has shapes that no series is of, or twice")
    if any(shape.flags & MAPS for shape in shapes):
        raise RemoteProtocolError("a dictionary's roster has a shape of maps")
    return roster


def put_shapes(out: BodyWriter, names: NameWriter, shapes: Sequence[Shape]) -> None:
    """Append how many shapes there are, and these."""
    head = out.head
    put_varint(head, len(shapes))
    for shape in shapes:
        names.put(shape.type)
        head.append(shape.flags)
        if shape.flags & MAPS:
            continue
        for keys in (shape.keys, shape.extension_keys)[: 2 if shape.flags & EXTENSIONS else 1]:
            put_varint(head, len(keys))
            for key in keys:
                names.put(key)


def put_series(out: BodyWriter, names: NameWriter, series: Sequence[Series]) -> None:
    """Append how many series there are, and these, by the numbers of their shapes."""
    put_varint(out.head, len(series))
    for one in series:
        put_varint(out.head, one.shape.number)
        names.put(one.source)
        names.put(one.zone)


def read_shapes(body: BodyReader, names: NameReader, most: int) -> list[Shape]:
    """Give back at most so many shapes.

    Raises:
        RemoteProtocolError: malformed.
    """
    return [_read_shape(body, names) for _ in range(body.head.varint(most, "shape count"))]


def read_series(
    body: BodyReader, names: NameReader, shapes: Sequence[Shape], most: int
) -> list[Series]:
    """Give back at most so many series of these shapes.

    Raises:
        RemoteProtocolError: malformed.
    """
    head = body.head
    series = []
    for number in range(head.varint(most, "series count")):
        place = head.varint(len(shapes), "shape number")
        if place >= len(shapes):
            raise RemoteProtocolError(f"shape number is {place}: there are {len(shapes)} shapes")
        series.append(Series(shapes[place], names.name(), names.name_or_none(), number))
    return series


def _read_shape(body: BodyReader, names: NameReader) -> Shape:
    name = names.name()
    flags = body.head.byte()
    if flags > SUBJECT | DEDUP_KEY | EXTENSIONS | MAPS:
        raise RemoteProtocolError(f"shape flags are {flags:#04x}: not known")
    if flags & MAPS:
        return Shape(name, flags, (), ())
    keys = _read_keys(body, names)
    return Shape(name, flags, keys, _read_keys(body, names) if flags & EXTENSIONS else ())


def _read_keys(body: BodyReader, names: NameReader) -> tuple[str, ...]:
    size = body.head.varint(MAX_DATA_KEYS, "key count")
    keys = tuple(names.name() for _ in range(size))
    if len(set(keys)) != size:
        raise RemoteProtocolError("a shape names a key twice")
    return keys
