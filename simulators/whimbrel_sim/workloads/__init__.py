"""Store days as streams of events, replays of files, and what their information costs at least."""

from .entropy import least_bytes
from .hours import BLACK_FRIDAY, ORDINARY, Day
from .kinds import KINDS
from .storeday import StoreDay, store_day_events
from .stream import Merged, Stream

__all__ = [
    "BLACK_FRIDAY",
    "KINDS",
    "ORDINARY",
    "Day",
    "Merged",
    "StoreDay",
    "Stream",
    "least_bytes",
    "store_day_events",
]
