"""The questions that a resume asks: when the next one is due, and which answers count. Pure."""

from __future__ import annotations

from collections import deque

from whimbrel_agent.ports import Random
from whimbrel_agent.uplink.patience import (
    ASKS_PER_BROKER,
    ASKS_PER_LINK,
    FIRST_ASK_S,
    MAX_ASK_S,
    OPEN_NONCES,
    REST_AGAIN_S,
    REST_GAP_S,
)
from whimbrel_protocol.messages import NONCE_BYTES


class Asking:
    """One session's questions; ``now_s`` is the monotonic clock.

    Attributes:
        asks: unanswered ones in a row.
        at_s: when the next one may be asked.
        unasked: streams that no answer named yet: the rest.
        about_rest: the present question is about them.
        rest_at_s: when they may be asked about.
    """

    def __init__(self, random: Random, brokers: int) -> None:
        self._random = random
        self._most = ASKS_PER_BROKER if brokers > 1 else ASKS_PER_LINK
        self._nonces: deque[bytes] = deque(maxlen=OPEN_NONCES)
        self.asks = 0
        self.at_s = 0.0
        self.unasked = 0
        self.about_rest = False
        self.rest_at_s = 0.0

    @property
    def in_vain(self) -> bool:
        """Whether so many were asked that another link may do better."""
        return self.asks >= self._most

    def linked(self, now_s: float) -> None:
        """Ask at once on a new link."""
        self.asks, self.at_s = 0, now_s

    def begin(self, now_s: float) -> bytes:
        """Return the nonce of the next question, and let the one after it wait longer."""
        nonce = self._random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
        self._nonces.append(nonce)
        self.at_s = now_s + min(MAX_ASK_S, FIRST_ASK_S * 2 ** min(self.asks, 8))
        self.asks += 1
        return nonce

    def answers(self, nonce: bytes) -> bool:
        """Say whether an answer is to one of the latest questions; then none is open any more."""
        if nonce not in self._nonces:
            return False
        self._nonces.clear()
        return True

    def applied(self, unasked: int, now_s: float) -> None:
        """Note that an answer was taken, which left so many streams unasked."""
        self.unasked, self.about_rest, self.asks = unasked, False, 0
        self.rest_at_s = max(self.rest_at_s, now_s + REST_GAP_S)

    def not_applied(self, now_s: float) -> None:
        """Note that an answer could not be taken."""
        self.at_s = now_s + MAX_ASK_S

    def ask_rest(self) -> None:
        """Let the next question be about the rest."""
        self.about_rest, self.asks = True, 0

    def leave_rest(self, now_s: float, wait_s: float = REST_AGAIN_S) -> None:
        """Ask about the present address instead; about the rest some time later."""
        self.about_rest, self.asks, self.rest_at_s = False, 0, now_s + wait_s
