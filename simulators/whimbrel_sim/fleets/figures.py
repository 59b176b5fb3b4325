"""A fleet's figures at one moment: a value that adds up over agents and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over agents.

    Attributes:
        agents: how many have spoken.
        up: of these, connected to a broker.
        resumed: of these, agreed with the region on where to go on.
        accepted: events that buffers took, in all their lives.
        delivered: of these, named in a receipt of the region.
        backlog: of these, waiting to be.
        dropped: of these, gaps: they will never come, and that is accounted.
        bytes_sent, frames_sent, frames_resent, receipts, links_lost: since each agent's start.
        restarts: agents that ended by themselves and were started again.
        senders: senders that still have something to say.
        retries: posts that had to be tried again.
        memory_bytes: resident memory of the fleet's processes.
    """

    agents: int = 0
    up: int = 0
    resumed: int = 0
    accepted: int = 0
    delivered: int = 0
    backlog: int = 0
    dropped: int = 0
    bytes_sent: int = 0
    frames_sent: int = 0
    frames_resent: int = 0
    receipts: int = 0
    links_lost: int = 0
    restarts: int = 0
    senders: int = 0
    retries: int = 0
    memory_bytes: int = 0

    def to_json(self) -> dict[str, int]:
        """Return plain values."""
        return asdict(self)


def total(parts: Iterable[Figures]) -> Figures:
    """Add figures up."""
    sums = dict.fromkeys(_NAMES, 0)
    for part in parts:
        for name in _NAMES:
            sums[name] += getattr(part, name)
    return Figures(**sums)


def from_json(values: Mapping[str, Any]) -> Figures:
    """Read what ``to_json`` gave; a name that is not known is left out."""
    return Figures(**{name: int(values[name]) for name in _NAMES if name in values})


_NAMES = tuple(field.name for field in fields(Figures))
