"""The region's credit, and single frames that ask for it where there is none. Pure."""

from __future__ import annotations

from typing import Final

from whimbrel_agent.uplink.roundtrips import MAX_TIMEOUT_S
from whimbrel_protocol.messages import Credit, Detail

FIRST_PROBE_S: Final = 1.0
"""The wait after the first probe without credit; doubles up to ``MAX_TIMEOUT_S``."""


NO_CREDIT: Final = "the region gives no credit"


class Credits:
    """What the region lets us have in flight, for how long, and when to probe without.

    Attributes:
        credit: the latest; None before the first.
        probe_at_s: from when the next probe may go.
    """

    def __init__(self) -> None:
        self.credit: Credit | None = None
        self.probe_at_s = 0.0
        self._until_s = 0.0
        self._wait_s = FIRST_PROBE_S

    def linked(self) -> None:
        """Let a probe go at once on a new link."""
        self.probe_at_s = 0.0
        self._wait_s = FIRST_PROBE_S

    def credited(self, credit: Credit, now_s: float) -> None:
        """Take the region's credit."""
        self.credit = credit
        self._until_s = now_s + credit.lifetime_s
        if credit.size_bytes and credit.lifetime_s:
            self.linked()

    def left(self, now_s: float) -> int:
        """Return the credit in bytes; 0 when there is none or it has expired."""
        credit = self._in_force(now_s)
        return 0 if credit is None else credit.size_bytes

    def detail(self, now_s: float) -> Detail:
        """Return how much is asked for; everything where that was never said, or too long ago."""
        credit = self._in_force(now_s)
        return Detail.FULL if credit is None else credit.detail

    def _in_force(self, now_s: float) -> Credit | None:
        return None if now_s >= self._until_s else self.credit

    def probing(self, now_s: float) -> str:
        """Say why only single frames may go, or empty when they need not."""
        if self.credit is None:
            return "no credit was given yet"
        if now_s >= self._until_s:
            return "the credit has expired"
        return "" if self.credit.size_bytes else NO_CREDIT

    def probed(self, now_s: float) -> None:
        """Note that a probe went out; the next one waits longer."""
        self.probe_at_s = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, MAX_TIMEOUT_S)
