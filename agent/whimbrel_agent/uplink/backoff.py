"""When to try which broker again: decorrelated jitter by failure class, over a list of brokers.

Pure: time and randomness come in. The delay after a failure is drawn between the class's base
and three times the delay before it ("decorrelated jitter": M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015), so that a fleet that lost its broker does not come back
in step. A link must live for a while before it counts as a success: two clones that throw each
other out at the broker would otherwise reconnect for ever at full speed.

A link that returns beyond the store's router is told by nobody: only trying finds it. While urgent
events wait on a radio that is on anyway, it is tried so often that they are late by seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.ports import LinkFailure, Random

PROVEN_AFTER_S: Final = 10.0
"""A link that lived this long was good: the next failure starts from the base again."""

RETURN_SPREAD_S: Final = 0.5
"""When the network returns, devices behind one router try within this, not all at once."""

URGENT_TRY_S: Final = 4.0
"""From one try to the next while urgent events wait and no network is there: as TCP's own packets of a
try, the last two of which are 4 s apart (RFC 6298's doubling from 1 s) where it is given up after 10 s."""

_GROWTH: Final = 3.0


@dataclass(frozen=True, slots=True)
class Delays:
    """The shortest and the longest wait after failures of one class, in seconds."""

    base_s: float
    cap_s: float


DELAYS: Final[Mapping[LinkFailure, Delays]] = {
    # A lost network is found again by trying; a minute of a failed SYN costs little.
    LinkFailure.NO_LINK: Delays(1.0, 60.0),
    # A broker that restarts is back within seconds.
    LinkFailure.REFUSED: Delays(1.0, 30.0),
    # Only a person can put this right; brokers lock out who knocks too often.
    LinkFailure.UNAUTHORISED: Delays(30.0, 900.0),
    # It asked to be left alone for a while.
    LinkFailure.OVERLOADED: Delays(10.0, 300.0),
    # Another version or a foreign service on the port: trying again may help after an upgrade.
    LinkFailure.BAD_DATA: Delays(5.0, 300.0),
}


@dataclass(frozen=True, slots=True)
class RetryInputs:
    """What the wait after a failure is decided from.

    Attributes:
        failure: its class.
        before: the class of this broker's failure before; None: there was none.
        delay_s: the wait after that one.
        lived_s: how long the link had been up, 0 when it never was.
        chance: drawn for this decision, 0 to 1.
        tried_s: how long the try took that failed.
        urgent: urgent events wait, and the radio may be used for every try.
    """

    failure: LinkFailure
    before: LinkFailure | None
    delay_s: float
    lived_s: float
    chance: float
    tried_s: float = 0.0
    urgent: bool = False

    @property
    def hurries(self) -> bool:
        """Whether trying often helps: nobody is burdened by it where no network is."""
        return self.urgent and self.failure is LinkFailure.NO_LINK


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """How long to wait before the next try, and why."""

    delay_s: float
    reason: str


def decide_retry(inputs: RetryInputs) -> RetryDecision:
    """Return how long to wait after a failure."""
    delays = DELAYS[inputs.failure]
    proven = inputs.lived_s >= PROVEN_AFTER_S
    before_s = 0.0 if proven or inputs.failure is not inputs.before else inputs.delay_s
    top_s = max(before_s, delays.base_s) * _GROWTH
    drawn_s = delays.base_s + inputs.chance * (top_s - delays.base_s)
    again = f", again after {before_s:.1f} s" if before_s else ""
    why = f"{inputs.failure.name.lower().replace('_', ' ')}{again}"
    cap_s = delays.cap_s
    if inputs.hurries:
        cap_s, why = max(delays.base_s, URGENT_TRY_S - inputs.tried_s), f"{why}, urgent events wait"
    return RetryDecision(min(cap_s, drawn_s), why)


@dataclass(slots=True)
class _Broker:
    ready_s: float = 0.0
    failed_s: float = 0.0
    delay_s: float = 0.0
    failure: LinkFailure | None = None


class Backoff:
    """The brokers of one uplink and when each may be tried."""

    def __init__(
        self, brokers: int, random: Random, journal: DecisionJournal | None = None
    ) -> None:
        if brokers < 1:
            raise ValueError("an uplink needs at least one broker")
        self._brokers = [_Broker() for _ in range(brokers)]
        self._random = random
        self._journal = journal or DecisionJournal()

    def next_try(self) -> tuple[int, float]:
        """Return the broker to try next and the monotonic second from which it may be tried.

        The one that may be tried soonest; the earlier in the list when several may.
        """
        index = min(range(len(self._brokers)), key=lambda i: (self._brokers[i].ready_s, i))
        return index, self._brokers[index].ready_s

    def failed(
        self, broker: int, failure: LinkFailure, *, lived_s: float, now_s: float,
        tried_s: float = 0.0, urgent: bool = False,
    ) -> float:  # fmt: skip
        """Note a failed attempt or a lost link; return the seconds until this broker's next try.

        Args:
            broker: its index.
            failure: the class.
            lived_s: how long the link had been up, 0 when it never was.
            now_s: monotonic now.
            tried_s: how long the attempt took.
            urgent: urgent events wait, and the radio may be used for every try.
        """
        entry = self._brokers[broker]
        chance = self._random.random()
        inputs = RetryInputs(
            failure, entry.failure, entry.delay_s, lived_s, chance, tried_s, urgent
        )
        decision = decide_retry(inputs)
        self._journal.note("retry", decision, inputs, now_s, said=(broker, decision))
        entry.delay_s = decision.delay_s
        entry.failure = failure
        entry.failed_s = now_s
        entry.ready_s = now_s + entry.delay_s
        return entry.delay_s

    def network_returned(self, now_s: float) -> None:
        """Let every broker that failed for want of a network be tried at once."""
        for entry in self._brokers:
            if entry.failure is LinkFailure.NO_LINK:
                soon_s = now_s + self._random.random() * RETURN_SPREAD_S
                entry.ready_s = min(entry.ready_s, soon_s)
                entry.delay_s = 0.0

    def hurry(self, now_s: float) -> None:
        """Note that something urgent came: what is to be found by trying is tried soon."""
        for entry in self._brokers:
            if entry.failure is LinkFailure.NO_LINK:
                soon_s = max(now_s, entry.failed_s + URGENT_TRY_S)
                entry.ready_s = min(entry.ready_s, soon_s)

    def failure_of(self, broker: int) -> LinkFailure | None:
        """Return the class of a broker's latest failure."""
        return self._brokers[broker].failure
