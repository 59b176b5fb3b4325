"""Numbers out of events, and events in the form that states keep them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from whimbrel_agent.rules.expression import field_of
from whimbrel_agent.rules.selecting import Getter, getter_of
from whimbrel_agent.rules.values import MAX_HELD_BYTES
from whimbrel_protocol.event import Event
from whimbrel_protocol.rows import pack_event, unpack_event

__all__ = ["Number", "getters_of", "held_event", "loaded_event", "number_of", "numbers_of"]

Number = int | float


def getters_of(fields: Sequence[str]) -> tuple[Getter, ...]:
    """Compile the names of some fields."""
    return tuple(getter_of(field_of(name)) for name in fields)


def number_of(value: Any) -> Number | None:
    """Give a value as a finite number within the floats' range; None when it is none."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        return value if -(2**63) <= value < 2**63 else None
    if kind is Decimal:
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def numbers_of(event: Event, getters: Sequence[Getter]) -> tuple[Number, ...] | None:
    """Give the numbers of some fields; None when one of them is none."""
    found: list[Number] = []
    for get in getters:
        number = number_of(get(event))
        if number is None:
            return None
        found.append(number)
    return tuple(found)


def held_event(event: Event) -> bytes | None:
    """Give an event's bytes for a state; None when it is too large to be held."""
    packed = pack_event(event)
    return packed if len(packed) <= MAX_HELD_BYTES else None


def loaded_event(packed: bytes) -> Event:
    """Read what ``held_event`` gave."""
    return unpack_event(packed)
