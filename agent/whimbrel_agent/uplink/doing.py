"""What an uplink does and waits for, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from whimbrel_agent.uplink.figures import LinkState, ResumeState


@dataclass(frozen=True, slots=True)
class Doing:
    """What the words are made of; seconds are monotonic.

    Attributes:
        link: to the broker.
        resume: the agreement with the region.
        connect_s: when the next broker may be tried.
        last_failure: of the link.
        hold_until_s, hold_reason: the region's word.
        asks: unanswered questions.
        rest: why the radio rests; empty while it does not.
        sending: the outbox's own words.
    """

    link: LinkState
    resume: ResumeState
    connect_s: float
    last_failure: str
    hold_until_s: float
    hold_reason: str
    asks: int
    rest: str
    sending: str

    def words(self, now_s: float) -> str:
        """Say it."""
        return self.blocked(now_s) or self.sending

    def blocked(self, now_s: float) -> str:
        """Say why no frame at all may go now; empty when frames may."""
        if self.rest and self.link is not LinkState.CONNECTING:
            return self.rest
        if self.link is LinkState.DOWN:
            wait_s = max(0.0, self.connect_s - now_s)
            return f"waiting {wait_s:.1f} s to connect, {self.last_failure}"
        if self.link is LinkState.CONNECTING:
            return "connecting"
        if now_s < self.hold_until_s:
            return f"held by the region for {self.hold_until_s - now_s:.0f} s: {self.hold_reason}"
        if self.resume is not ResumeState.DONE:
            return f"waiting for the region's answer to resume ({self.asks} asked)"
        return ""
