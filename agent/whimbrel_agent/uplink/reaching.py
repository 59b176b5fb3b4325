"""Which broker is tried when, and how long a link has been up. Pure."""

from __future__ import annotations

from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.ports import LinkFailure, Random
from whimbrel_agent.uplink.backoff import Backoff
from whimbrel_agent.uplink.figures import LinkState


class Reaching:
    """The link of one session: down, connecting, up, down again.

    Args:
        brokers: how many there are.
        random: draws waits.
        journal: where decisions are noted.

    Attributes:
        state: where it stands.
        broker: the one that is tried or connected, by its index.
        last_failure: in words; empty before the first.
    """

    def __init__(self, brokers: int, random: Random, journal: DecisionJournal | None) -> None:
        self.state = LinkState.DOWN
        self.broker = 0
        self.last_failure = ""
        self._backoff = Backoff(brokers, random, journal)
        self._since_s = 0.0

    @property
    def try_s(self) -> float:
        """The monotonic second from which a broker may be tried."""
        return self._backoff.next_try()[1]

    def tries(self, now_s: float) -> bool:
        """Begin to connect to ``broker``; False where it is too early."""
        broker, ready_s = self._backoff.next_try()
        if now_s < ready_s:
            return False
        self.state, self.broker, self._since_s = LinkState.CONNECTING, broker, now_s
        return True

    def made(self, now_s: float) -> None:
        """Note that the link is up."""
        self.state, self._since_s = LinkState.UP, now_s

    def lost(self, failure: LinkFailure, message: str, now_s: float, *, urgent: bool) -> str:
        """Note that it is down, or could not be made; return the name of the counter for it.

        Args:
            failure: the class.
            message: what happened.
            now_s: monotonic now.
            urgent: urgent events wait, and the radio may be used for every try.
        """
        was_up = self.state is LinkState.UP
        took_s = now_s - self._since_s
        self._backoff.failed(
            self.broker, failure, lived_s=took_s if was_up else 0.0, now_s=now_s,
            tried_s=0.0 if was_up else took_s, urgent=urgent,
        )  # fmt: skip
        self.state = LinkState.DOWN
        self.last_failure = f"{failure.name.lower().replace('_', ' ')}: {message}"
        return "links_lost" if was_up else "links_failed"

    def let_go(self) -> None:
        """Note that it was ended on purpose."""
        self.state = LinkState.DOWN

    def network_returned(self, now_s: float) -> None:
        """Let brokers that failed for want of a network be tried at once."""
        self._backoff.network_returned(now_s)

    def hurry(self, now_s: float) -> None:
        """Note that something urgent came, where the radio may be used for every try."""
        self._backoff.hurry(now_s)
