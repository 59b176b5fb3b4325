"""What the senders know: which event they offered, what they were told, and where it is now.

Kept outside the product and in few bytes, so that a world may have millions of events: one byte
for an answer and one for how often the journal has it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

UNSURE: Final = 0
ACCEPTED: Final = 1
REFUSED: Final = 2

_MANY: Final = 255


class Told(NamedTuple):
    """A run of events that an agent says it put at neighbouring places."""

    number: int
    where: str
    epoch: int
    lane: str
    first: int
    events: int


class Sender:
    """One source of events at one device: numbers its events from 1.

    Attributes:
        name: the events' ``source``.
        where: tenant, store and device it posts to now.
        lane: of its events.
        ruled: a rule takes its events: only what they add up to is looked for in the journal.
        counted: events that the journal's events of this source say they stand for.
    """

    def __init__(self, name: str, where: str, lane: str) -> None:
        self.name = name
        self.where = where
        self.lane = lane
        self.ruled = False
        self.counted = 0
        self.places: list[Told] = []
        self._answers = bytearray(1)
        self._times = bytearray(1)
        self._offered_s = array("d", [0.0])

    @property
    def offered(self) -> int:
        """How many events were offered."""
        return len(self._answers) - 1

    def offer(self, count: int, now_s: float) -> range:
        """Enter the next events; call before they leave."""
        first = len(self._answers)
        self._answers.extend(bytes(count))
        self._times.extend(bytes(count))
        self._offered_s.extend([now_s] * count)
        return range(first, first + count)

    def accept(self, numbers: range, told: list[Told]) -> None:
        """Note that an answer accepted them."""
        for number in numbers:
            self._answers[number] = ACCEPTED
        self.places += told

    def refuse(self, numbers: range) -> None:
        """Note that an answer refused them."""
        for number in numbers:
            self._answers[number] = REFUSED

    def answer(self, number: int) -> int:
        """Return what the sender was told about an event."""
        return self._answers[number] if 0 < number < len(self._answers) else REFUSED

    def knows(self, number: int) -> bool:
        """Whether it ever offered this number."""
        return 0 < number < len(self._answers)

    def seen(self, number: int) -> int:
        """Count the event in the journal once more; return how often it is there."""
        times = min(_MANY, self._times[number] + 1)
        self._times[number] = times
        return times

    def times(self, number: int) -> int:
        """How often the journal has an event."""
        return self._times[number]

    def forget_seen(self) -> None:
        """Begin to count anew: the journal is another one."""
        self._times = bytearray(len(self._times))
        self.counted = 0

    def missing(self) -> Iterator[int]:
        """Yield accepted events that the journal does not have; of a ruled sender none."""
        if self.ruled:
            return
        at = -1
        # find() over bytes: a loop over millions of events would cost more than the world
        while (at := self._times.find(0, at + 1)) >= 0:
            if self._answers[at] == ACCEPTED:
                yield at

    def offered_s(self, number: int) -> float:
        """When an event was offered, in the world's time."""
        return self._offered_s[number]

    def count(self, answer: int) -> int:
        """How many events have this answer."""
        return self._answers.count(answer) - (answer == UNSURE)

    def doubt(self, numbers: range) -> None:
        """Take back what was known of them: the machine that answered lost them by no fault."""
        for number in numbers:
            if self._answers[number] == ACCEPTED:
                self._answers[number] = UNSURE

    def place_of(self, number: int) -> tuple[str, int, str, int] | None:
        """Return where an agent said that it put an event: device, epoch, lane, sequence."""
        for told in reversed(self.places):
            if told.number <= number < told.number + told.events:
                return told.where, told.epoch, told.lane, told.first + number - told.number
        return None


class Books:
    """All senders, by name."""

    def __init__(self) -> None:
        self.senders: dict[str, Sender] = {}

    def open(self, name: str, where: str, lane: str) -> Sender:
        """Return a sender, made when it is new."""
        if name not in self.senders:
            self.senders[name] = Sender(name, where, lane)
        return self.senders[name]

    def total(self, answer: int) -> int:
        """How many events of all senders have this answer."""
        return sum(sender.count(answer) for sender in self.senders.values())

    @property
    def offered(self) -> int:
        """How many events were offered in all."""
        return sum(sender.offered for sender in self.senders.values())
