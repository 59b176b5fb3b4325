"""How hard and how long the sink's trial is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPlan:
    """How hard and how long.

    Attributes:
        agents: that fill the database.
        posts_per_s: of each agent's normal and bulk lane.
        batch_events: in a post, at most.
        free_s: how long the database is free, to find out what it takes.
        spool_s: how long devices spool after credit is gone.
        max_backlog_bytes: the route's limit.
        hang_s: so long a call may hang.
        rounds: of a free and a hanging database.
        round_s: the length of each half.
        solo_every_s: between two events whose delivery is timed.
        breaker_s: so long it may take to open after a call hung.
        throttles: the throttled database comes first; else only the one that hangs.
    """

    agents: int = 2
    posts_per_s: float = 5.0
    batch_events: int = 60
    free_s: float = 20.0
    spool_s: float = 60.0
    max_backlog_bytes: int = 400_000
    hang_s: float = 5.0
    rounds: int = 5
    round_s: float = 30.0
    solo_every_s: float = 0.1
    breaker_s: float = 30.0
    throttles: bool = True


BRIEF: Final = SinkPlan(
    free_s=10.0, spool_s=10.0, max_backlog_bytes=150_000, hang_s=2.0, rounds=2, round_s=10.0
)
"""For a planted fault, and for trying it out."""
