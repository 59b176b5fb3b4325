"""The body of one frame: events of one lane as series, shapes and columns.

A *shape* is what events must share to lie in the same columns: type, the keys of data and
extensions in their order, and whether subject and dedup key are there. A *series* is a shape
at one source and zone. The head names shapes and series once; a stream tells which series
each event belongs to. In the columns of a shape the events lie series by series, so a
sensor's reading lies beside its previous one and not beside another sensor's.

Key order is kept, because it is part of the shape. Shapes of very few events, in frames of
many shapes, give up columns for one CBOR map an event (flag MAPS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from whimbrel_protocol.event import Event

__all__ = [
    "DEDUP_KEY",
    "EXTENSIONS",
    "MAPS",
    "SUBJECT",
    "Series",
    "Shape",
    "group_events",
    "shape_of",
]

SUBJECT: Final = 1
DEDUP_KEY: Final = 2
EXTENSIONS: Final = 4
MAPS: Final = 8
"""Shape flags: the events have a subject, a dedup key, extensions; they are CBOR maps."""

_MANY_SHAPES: Final = 16
_FEW_EVENTS: Final = 3
"""In a frame of many shapes, a shape of fewer events than this costs more in column heads
than its keys cost in CBOR."""


@dataclass(slots=True)
class Shape:
    """What events share to lie in the same columns; ``size`` counts them.

    ``events`` are filled while writing only, series by series; ``close_look`` is set while
    reading, when each event must be checked on its own.
    """

    type: str
    flags: int
    keys: tuple[str, ...]
    extension_keys: tuple[str, ...]
    number: int = 0
    size: int = 0
    events: list[Event] = field(default_factory=list)
    close_look: bool = False

    def cells(self) -> int:
        """Give how many values its columns hold."""
        return self.size * (2 + len(self.keys) + len(self.extension_keys))


@dataclass(slots=True)
class Series:
    """A shape at one source and zone; ``events`` are filled while writing only."""

    shape: Shape
    source: str
    zone: str | None
    number: int
    events: list[Event] = field(default_factory=list)


def group_events(events: Sequence[Event]) -> tuple[list[int], list[Series], list[Shape]]:
    """Sort events into series and shapes, both numbered by first appearance.

    Returns:
        The series number of each event, the series, the shapes.
    """
    found: dict[tuple[Any, ...], Series] = {}
    shapes: dict[tuple[Any, ...], Shape] = {}
    keys: list[tuple[Any, ...]] = [
        (
            e.source,
            e.zone,
            e.type,
            e.subject is None,
            e.dedup_key is None,
            tuple(e.extensions) if e.extensions else (),
            tuple(e.data),
        )
        for e in events
    ]
    order = []
    for key, event in zip(keys, events, strict=True):
        one = found.get(key)
        if one is None:
            shape = shapes.setdefault(key[2:], shape_of(event))
            found[key] = one = Series(shape, event.source, event.zone, len(found))
        one.events.append(event)
        order.append(one.number)
    for one in found.values():
        one.shape.size += len(one.events)
    if len(shapes) > _MANY_SHAPES and any(s.size < _FEW_EVENTS for s in shapes.values()):
        return _group_rare(events, keys, {k for k, s in shapes.items() if s.size < _FEW_EVENTS})
    for number, shape in enumerate(shapes.values()):
        shape.number = number
    return order, list(found.values()), list(shapes.values())


def _group_rare(
    events: Sequence[Event], keys: list[tuple[Any, ...]], rare: set[tuple[Any, ...]]
) -> tuple[list[int], list[Series], list[Shape]]:
    """Group again, with the rare shapes of a type falling together as maps."""
    found: dict[tuple[Any, ...], Series] = {}
    shapes: dict[tuple[Any, ...], Shape] = {}
    order = []
    for key, event in zip(keys, events, strict=True):
        shape = shape_of(event)
        if key[2:] in rare:
            shape = Shape(shape.type, shape.flags | MAPS, (), ())
        shape_key = (shape.type, shape.flags, shape.keys, shape.extension_keys)
        shape = shapes.setdefault(shape_key, shape)
        series_key = (event.source, event.zone, shape_key)
        one = found.get(series_key)
        if one is None:
            found[series_key] = one = Series(shape, event.source, event.zone, len(found))
        one.events.append(event)
        shape.size += 1
        order.append(one.number)
    for number, shape in enumerate(shapes.values()):
        shape.number = number
    return order, list(found.values()), list(shapes.values())


def shape_of(event: Event) -> Shape:
    """Return the shape of an event that lies in columns."""
    flags = SUBJECT if event.subject is not None else 0
    if event.dedup_key is not None:
        flags |= DEDUP_KEY
    if event.extensions:
        flags |= EXTENSIONS
    return Shape(event.type, flags, tuple(event.data), tuple(event.extensions))
