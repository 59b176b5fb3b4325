"""Up to which frame of each lane the backlog goes: what is newer is live. Pure.

Frames are sealed while a link is being found. The link may have been back for a while by then (the
tries of a long outage are a minute apart), so what was sealed since the last try that failed is not
put behind hours of backlog: it is live as what comes later is. Live all the same is at most what
came between two tries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Newest = Mapping[str, int]
"""The greatest frame id of each lane."""

_NOTHING: Final[Newest] = {}


class Backlog:
    """Remembers the ends of the backlog from try to try."""

    def __init__(self) -> None:
        self._before: Newest | None = None
        self._now: Newest = _NOTHING
        self._end: Newest = _NOTHING

    def trying(self, newest: Newest) -> None:
        """Note what is there as a link is tried; the try before, if any, has failed."""
        self._before, self._now = self._now or None, newest

    def linked(self) -> Newest:
        """Return where the backlog ends on the link that was made."""
        self._end = self._now if self._before is None else self._before
        self._now = _NOTHING
        return self._end

    def resumed(self, newest: Newest, *, moved: bool) -> Newest:
        """Return where it ends once a resume was applied.

        Args:
            newest: what is there now.
            moved: old events got new frames, with new ids: all of it is backlog then.
        """
        if moved:
            self._end = newest
        return {lane: min(last, self._end.get(lane, last)) for lane, last in newest.items()}
