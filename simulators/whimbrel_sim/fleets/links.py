"""What a network does to the bytes of a connection, as values. Pure.

A :class:`Link` is what a proxy plays at one moment: a :class:`Way` for each direction, and a
:class:`Door` that says what becomes of connections as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Door(Enum):
    """What happens to connections, by rising strength: of two at once the stronger one counts."""

    OPEN = 0
    """They pass."""
    CAPTIVE = 1
    """A portal answers with a web page instead of the broker, as in a hotel."""
    HALF_OPEN = 2
    """Accepted, then silence; those that stand fall silent for good, and nobody says goodbye."""
    CUT = 3
    """Accepted and reset at once; those that stand are reset."""
    REFUSED = 4
    """Nobody listens; those that stand are reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One direction. Chances are in 0..1, for each chunk: what one read of the socket brings.

    Attributes:
        delay_s: each chunk arrives so much later; order is kept.
        jitter_s: the most that a random part adds to the delay.
        loss: the chance that the connection is reset at a chunk. (Lost segments themselves are
            mended by TCP: what an application sees of them is delay, and at last a reset.)
        flip: the chance that one bit of a chunk is flipped on the way.
        bytes_per_s: so many bytes pass in a second on each connection; None means no limit.
        closed: nothing arrives until it is open again; what was sent meanwhile does then, as TCP
            sends it again.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    flip: float = 0.0
    bytes_per_s: float | None = None
    closed: bool = False

    def joined(self, other: Way) -> Way:
        """Return what both do together: delays add up, chances combine, the slower one limits."""
        limits = [way.bytes_per_s for way in (self, other) if way.bytes_per_s is not None]
        return Way(
            delay_s=self.delay_s + other.delay_s,
            jitter_s=self.jitter_s + other.jitter_s,
            loss=_either(self.loss, other.loss),
            flip=_either(self.flip, other.flip),
            bytes_per_s=min(limits, default=None),
            closed=self.closed or other.closed,
        )


CLEAR: Final = Way()
"""Nothing happens on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Both directions and the door; ``up`` leads from the client to the broker."""

    up: Way = CLEAR
    down: Way = CLEAR
    door: Door = Door.OPEN

    def joined(self, other: Link) -> Link:
        """Return what both do together."""
        return Link(
            up=self.up.joined(other.up),
            down=self.down.joined(other.down),
            door=max(self.door, other.door, key=lambda door: door.value),
        )


GOOD_LINK: Final = Link()


def _either(one: float, other: float) -> float:
    return 1 - (1 - one) * (1 - other)
