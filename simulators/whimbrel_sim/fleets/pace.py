"""What a fleet sends and how much: the source of one member from the wishes for the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_sim.workloads import BLACK_FRIDAY, KINDS, ORDINARY, StoreDay

from .roster import Member, Roster
from .sources import MixSource, Source, mix_facts

MIX: Final = "mix"
WORKLOADS: Final = (MIX, "ordinary", "black-friday")
"""``mix``: the bench's store mix at a stated rate. The others: days of a store as the workload
models have them; each member is one device (a till, a fridge, a door, ...) at that device's own
rate, times a factor, by the hour of the machine's clock in UTC."""

LEAST_RATE: Final = 0.001
MOST_RATE: Final = 100_000.0
"""Events a second of the mix, of a whole fleet; beyond it senders could not make them."""

_MS_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The load of a whole fleet.

    Attributes:
        events_per_s: of all members together; of a store day: the factor on each device's rate.
        burst_events: mean size of a member's post; a store day has sizes of its own.
        workload: one of ``WORKLOADS``.
    """

    events_per_s: float
    burst_events: int = 5
    workload: str = MIX


class Sources:
    """Sources for the members of one process."""

    def __init__(self, roster: Roster, pace: Pace, *, start_ns: int) -> None:
        self._roster = roster
        self._pace = pace
        self._start_ns = start_ns
        self._facts: dict[str, Iterator[Event]] = {}
        self._days: dict[str, StoreDay] = {}

    def source(self, member: Member) -> Source:
        """Return a member's source."""
        return self._mix(member) if self._pace.workload == MIX else self._device(member)

    def _mix(self, member: Member) -> Source:
        """Members of a store draw from one stream of facts."""
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

    def _device(self, member: Member) -> Source:
        """Members of a store are its devices, kind by kind in turn."""
        if member.store not in self._days:
            self._days[member.store] = StoreDay(
                self._roster.seed,
                member.store,
                start_ns=self._start_ns // _MS_NS * _MS_NS,
                day=BLACK_FRIDAY if self._pace.workload == "black-friday" else ORDINARY,
                rate=self._pace.events_per_s,
            )
        place = self._roster.place_of(member)
        turn, kind = divmod(place, len(KINDS))
        return self._days[member.store].devices(list(KINDS.values())[kind], turn + 1)[turn]
