"""One accept through the rules: what goes on of a group, and what its answer is made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from whimbrel_agent.buffer.idempotency import check_same
from whimbrel_agent.buffer.places import PlaceCollector, Places, Run
from whimbrel_agent.buffer.values import Accepted
from whimbrel_agent.rules.engine import Batch, Engine
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANE_NUMBERS

__all__ = ["Group", "Known", "Offer"]

Known = tuple[Accepted, int]
"""The first answer to an idempotency key, and the fingerprint of what it stood for."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A group as it came.

    Attributes:
        events: the events.
        wanted: the place of the rule that wants each, -1 for none.
        known: first answers to the keys of those that a rule wants.
        keys: idempotency keys.
        prints: fingerprints, 0 for none.
    """

    events: Sequence[Event]
    wanted: Sequence[int]
    known: Sequence[Known | None]
    keys: Sequence[bytes | None]
    prints: Sequence[int]


@dataclass(slots=True)
class Group:
    """What goes on, and the answer as far as it is known.

    Attributes:
        sent: events that go to the buffer, older ones first.
        keys, prints: theirs.
        owners: for each the place in the offer that it came from; None when a rule made it.
        aside_keys: keys of events that got no number, with lane numbers and fingerprints.
        raw: raw events to be kept, with the days for each.
    """

    sent: list[Event] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    prints: list[int] = field(default_factory=list)
    owners: list[int | None] = field(default_factory=list)
    aside_keys: list[tuple[bytes, int, int]] = field(default_factory=list)
    raw: list[tuple[float, Event]] = field(default_factory=list)
    _places: list[int | Run] = field(default_factory=list)
    _repeats: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, events: Sequence[Event]) -> Group:
        """Give a group of nothing but what rules made."""
        count = len(events)
        return cls(list(events), [None] * count, [0] * count, [None] * count)

    def sort(self, offer: Offer, batch: Batch, engine: Engine, epoch: int) -> None:
        """Have the rules take what they want of an offer.

        Raises:
            KeyReusedError: a key came again with other content.
        """
        before: dict[bytes, tuple[int | Run, int]] = {}
        for index, event in enumerate(offer.events):
            key, print_ = offer.keys[index], offer.prints[index]
            place, earlier = offer.wanted[index], offer.known[index]
            if place < 0:
                self._pass(event, index, key, print_)
            elif earlier is not None:
                check_same(index, print_, earlier[1])
                self._places.append(Run(*earlier[0][:3], 1, repeated=True))
            elif key is not None and key in before:
                first, first_print = before[key]
                check_same(index, print_, first_print)
                self._repeats.add(len(self._places))
                self._places.append(first)
            else:
                raw_days = engine.rules[place].config.raw_days
                if raw_days:
                    self.raw.append((raw_days, event))
                self._take(batch, place, event, (index, key, print_, epoch))
                if key is not None:
                    before[key] = (self._places[-1], print_)

    def answer(self, found: Places) -> Places:
        """Put the places of what went on and of what was taken into the order of the offer."""
        if self._places == list(range(len(found))):
            return found
        given = list(found)
        places = PlaceCollector()
        for number, place in enumerate(self._places):
            again = number in self._repeats
            if isinstance(place, Run):
                places.add(place._replace(repeated=True) if again else place)
            else:
                epoch, lane, sequence, repeated = given[place]
                places.add(Run(epoch, lane, sequence, 1, repeated or again))
        return places.places()

    def _take(
        self, batch: Batch, place: int, event: Event, origin: tuple[int, bytes | None, int, int]
    ) -> None:
        index, key, print_, epoch = origin
        step = batch.take(place, event)
        for made in step.sent:
            self._append(made, None, None, 0)
        if step.passed is not None:
            self._pass(step.passed, index, key, print_)
            return
        self._places.append(Run(epoch, event.lane, 0, 1))
        if key is not None:
            self.aside_keys.append((key, LANE_NUMBERS[event.lane], print_))

    def _pass(self, event: Event, index: int, key: bytes | None, print_: int) -> None:
        self._places.append(len(self.sent))
        self._append(event, index, key, print_)

    def _append(self, event: Event, owner: int | None, key: bytes | None, print_: int) -> None:
        self.sent.append(event)
        self.owners.append(owner)
        self.keys.append(key)
        self.prints.append(print_)
