"""What sealing needs to know of the uplink. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from whimbrel_agent.uplink.figures import LinkState, ResumeState
from whimbrel_agent.uplink.probing import NO_CREDIT, Credits
from whimbrel_protocol.messages import Detail


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether frames can leave now, and how much of its series of numbers the region asks for."""

    can_send: bool = True
    asked: Detail = Detail.FULL


def outlook(link: LinkState, resume: ResumeState, credits: Credits, now_s: float) -> Outlook:  # noqa: A002
    """Say what can leave: a link is up, the region agrees, and has not said no.

    Credit that has expired is no refusal: a frame is what asks for more.
    """
    agreed = resume in (ResumeState.APPLYING, ResumeState.DONE)
    can_send = link is LinkState.UP and agreed and credits.probing(now_s) != NO_CREDIT
    return Outlook(can_send, credits.detail(now_s))
