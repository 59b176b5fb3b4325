"""What sealing is told of the uplink."""

from __future__ import annotations

from whimbrel_agent.uplink.figures import LinkState, ResumeState
from whimbrel_agent.uplink.outlook import Outlook, outlook
from whimbrel_agent.uplink.probing import Credits
from whimbrel_protocol.messages import Credit, Detail


def credits_of(credit: Credit) -> Credits:
    region = Credits()
    region.credited(credit, 0.0)
    return region


PLENTY = credits_of(Credit(5_000, 10))
UP, DONE = LinkState.UP, ResumeState.DONE


def test_frames_can_leave_unless_the_region_says_no() -> None:
    assert outlook(UP, DONE, PLENTY, 0.0) == Outlook(can_send=True, asked=Detail.FULL)
    assert outlook(UP, ResumeState.APPLYING, PLENTY, 0.0).can_send
    assert not outlook(UP, ResumeState.ASKED, PLENTY, 0.0).can_send
    assert not outlook(LinkState.CONNECTING, DONE, PLENTY, 0.0).can_send
    assert not outlook(UP, DONE, credits_of(Credit(0, 10)), 0.0).can_send
    assert outlook(UP, DONE, PLENTY, 11.0).can_send  # a frame is what asks for more


def test_what_the_region_asks_for_holds_as_long_as_its_credit() -> None:
    asks = credits_of(Credit(5_000, 10, Detail.SUMMARISED))
    assert outlook(UP, DONE, asks, 9.9).asked is Detail.SUMMARISED
    assert outlook(UP, DONE, asks, 10.0).asked is Detail.FULL
    assert outlook(UP, DONE, Credits(), 0.0).asked is Detail.FULL
    asks.credited(Credit(5_000, 10), 5.0)
    assert outlook(UP, DONE, asks, 6.0).asked is Detail.FULL
