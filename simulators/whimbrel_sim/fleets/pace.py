"""How much a fleet sends: the pace of one member from that of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from whimbrel_protocol.event import Event

from .roster import Member, Roster
from .sources import MixSource, Source, mix_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The load of a whole fleet.

    Attributes:
        events_per_s: of all members together.
        burst_events: mean size of a member's post.
    """

    events_per_s: float
    burst_events: int = 5


class Mixes:
    """Sources for the members of one process: members of a store draw from one stream of facts."""

    def __init__(self, roster: Roster, pace: Pace, *, start_ns: int) -> None:
        self._roster = roster
        self._pace = pace
        self._start_ns = start_ns
        self._facts: dict[str, Iterator[Event]] = {}

    def source(self, member: Member) -> Source:
        """Return a member's source."""
        seed = self._roster.seed
        if member.store not in self._facts:
            self._facts[member.store] = mix_facts(seed, member.store)
        return MixSource(
            self._facts[member.store],
            events_per_s=self._pace.events_per_s / len(self._roster),
            burst_events=self._pace.burst_events,
            start_ns=self._start_ns,
            random=Random(f"{seed}/{member.store}/{member.device}"),
        )
