"""The kinds of devices that a store has."""

from __future__ import annotations

from typing import Final

from .batteries import BATTERY
from .climate import CLIMATE
from .device import Kind
from .doors import DOOR, PEOPLE
from .fridges import FRIDGE
from .shelves import SHELF
from .signage import SIGNAGE
from .tills import TILL

__all__ = ["KINDS"]

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind for kind in (TILL, FRIDGE, SHELF, DOOR, PEOPLE, SIGNAGE, BATTERY, CLIMATE)
}
"""By name; any of them may be left out of a store."""
