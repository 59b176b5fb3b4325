"""The series that come regularly in what is sealed: a dictionary's roster.

A series that came in several frames will come again. Counted are frames, not events, in bounded
memory: when there is no room, those that came least make it for new ones. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whimbrel_protocol.columns.roster import KnownSeries, KnownShape, Roster, series_of
from whimbrel_protocol.event import Event
from whimbrel_protocol.limits import MAX_ROSTER

MAX_KEPT: Final = 768
"""Series that are counted; mostly half a kilobyte each."""

MAX_SERIES_BYTES: Final = 2_048
"""Names of one series; one that has more is not counted."""

MAX_NAMES_BYTES: Final = 16 * 1024
"""Names of a roster, counted in every series: a quarter of what may be shared."""

LEAST_FRAMES: Final = 2


class Regulars:
    """Counts the series of one device's frames."""

    def __init__(self) -> None:
        self._frames: dict[KnownSeries, int] = {}

    def take_up(self, roster: Roster) -> None:
        """Go on from a roster that another process made."""
        for one in roster.series:
            self._frames.setdefault(one, LEAST_FRAMES)

    def saw(self, events: Sequence[Event]) -> None:
        """Take note of a frame that was sealed."""
        firsts = {
            (e.type, e.source, e.zone, e.subject is None, e.dedup_key is None, tuple(e.data),
             tuple(e.extensions)): e
            for e in events
        }  # fmt: skip
        for event in firsts.values():
            one = series_of(event)
            frames = self._frames.get(one, 0)
            if frames or _names_bytes(one) <= MAX_SERIES_BYTES:
                self._frames[one] = frames + 1
        if len(self._frames) > MAX_KEPT:
            often = sorted(self._frames, key=self._frames.__getitem__, reverse=True)
            self._frames = {one: self._frames[one] for one in often[: MAX_KEPT // 2]}

    def found(self) -> Roster:
        """Return what comes regularly, in an order that does not depend on what came first."""
        regular = [one for one, frames in self._frames.items() if frames >= LEAST_FRAMES]
        regular.sort(key=self._frames.__getitem__, reverse=True)
        chosen, names = [], 0
        for one in regular[:MAX_ROSTER]:
            names += _names_bytes(one)
            if names > MAX_NAMES_BYTES:
                break
            chosen.append(one)
        return Roster(tuple(sorted(chosen, key=_by_name)))


def _names_bytes(one: KnownSeries) -> int:
    names = (one.shape.type, one.source, one.zone or "", *one.shape.keys, *one.shape.extension_keys)
    return sum(1 + len(name.encode()) for name in names)


def _by_name(one: KnownSeries) -> tuple[KnownShape, str, str]:
    return one.shape, one.source, one.zone or ""
