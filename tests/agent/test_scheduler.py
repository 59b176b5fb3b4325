"""When sealing is looked after."""

from __future__ import annotations

from whimbrel_agent.scheduler import MIN_LOOK_GAP_NS, SealInputs, decide

LATE = 10 * MIN_LOOK_GAP_NS


def test_nothing_staged_means_no_look() -> None:
    decision = decide(SealInputs(now_ns=5, looked_ns=0, deadline_ns=None, accepted=False))
    assert (decision.look_ns, decision.reason) == (None, "nothing waits to be sealed")


def test_a_deadline_is_kept() -> None:
    decision = decide(SealInputs(now_ns=5, looked_ns=0, deadline_ns=LATE, accepted=False))
    assert decision.look_ns == LATE


def test_accepts_are_looked_at_soon_but_not_at_once() -> None:
    decision = decide(SealInputs(now_ns=5, looked_ns=3, deadline_ns=LATE, accepted=True))
    assert decision.look_ns == 3 + MIN_LOOK_GAP_NS


def test_a_deadline_already_over_does_not_spin() -> None:
    decision = decide(SealInputs(now_ns=5, looked_ns=4, deadline_ns=1, accepted=False))
    assert decision.look_ns == 4 + MIN_LOOK_GAP_NS
