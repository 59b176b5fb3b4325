"""What an event of each kind costs: at least, by a general compressor, and in our own frames."""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_sim.bench.corpora import batches, json_of
from whimbrel_sim.bench.wire import BATCH, sealed

from .entropy import mix_bits
from .hours import Day
from .kinds import KINDS
from .plain import plain_bytes
from .storeday import StoreDay

__all__ = ["MIX", "KindFigures", "measure_kinds"]

MIX: Final = "mix"
"""The name of all kinds together, as an ordinary store has them."""

_XZ_PRESET: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFigures:
    """Figures of one kind, or of the mix; bytes are per event.

    Attributes:
        kind: its name.
        devices: how many an ordinary store has.
        events_per_day: of all of them.
        entropy_bytes: what no lossless coder of the whole stream goes below in the mean.
        xz_columns_bytes: bare columns (see ``plain``) of all events, xz -9.
        xz_json_bytes: JSON lines of all events, xz -9.
        frame_bytes: sealed frames of 500, signature and header included.
    """

    kind: str
    devices: int
    events_per_day: float
    entropy_bytes: float
    xz_columns_bytes: float
    xz_json_bytes: float
    frame_bytes: float

    @property
    def frame_ratio(self) -> float:
        """Our frames over the least."""
        return self.frame_bytes / self.entropy_bytes


def measure_kinds(seed: int, count: int, day: Day, rate: float) -> Iterator[KindFigures]:
    """Measure each kind by itself, then the mix.

    Args:
        seed: of the events.
        count: how many of each kind; at least a frame's.
        day: the store's hours.
        rate: factor on the usual number of events.
    """
    for kind in KINDS.values():
        alone = StoreDay(seed, day=day, rate=rate, counts={kind.name: kind.count})
        yield _figures(kind.name, alone, count)
    yield _figures(MIX, StoreDay(seed, day=day, rate=rate), count)


def _figures(name: str, store_day: StoreDay, count: int) -> KindFigures:
    events = list(islice(store_day.events(), count))
    bare = plain_bytes(events, day=store_day.day, rate=store_day.rate)
    lines = b"\n".join(map(json_of, events))
    return KindFigures(
        kind=name,
        devices=sum(store_day.counts.values()),
        events_per_day=store_day.events_per_day(),
        entropy_bytes=mix_bits(store_day.shares()) / 8,
        xz_columns_bytes=_xz_bytes(bare) / len(events),
        xz_json_bytes=_xz_bytes(lines) / len(events),
        frame_bytes=_frame_bytes(events),
    )


def _xz_bytes(data: bytes) -> int:
    return len(lzma.compress(data, preset=_XZ_PRESET))


def _frame_bytes(events: Sequence[Event]) -> float:
    runs = batches(events, BATCH)
    return sum(len(sealed(run)) for run in runs) / (len(runs) * BATCH)
