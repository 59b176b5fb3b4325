from __future__ import annotations

from dataclasses import replace

import pytest

from whimbrel_protocol.lanes import GapReason, Order
from whimbrel_sim.ledger import Ledger, Place
from whimbrel_sim.reconcile import (
    CommittedEvent,
    CommittedGap,
    Contents,
    Reconciliation,
    reconcile,
)

EPOCH = 7


@pytest.fixture
def ledger() -> Ledger:
    """One sender, three accepted events at sequences 1 to 3."""
    ledger = Ledger()
    entries = [ledger.post("a", "normal") for _ in range(3)]
    ledger.accept(entries, [Place(EPOCH, "normal", number) for number in (1, 2, 3)])
    return ledger


def event(number: int, *, position: int | None = None, sender: str = "a") -> CommittedEvent:
    return CommittedEvent(
        event_id=f"{sender}-{number}",
        device="till",
        place=Place(EPOCH, "normal", number),
        position=(1, number if position is None else position),
    )


def gap(first: int, span: int) -> CommittedGap:
    return CommittedGap(
        device="till", epoch=EPOCH, lane="normal", first=first, span=span, reason=GapReason.EVICTED
    )


def compare(
    ledger: Ledger, *events: CommittedEvent, gaps: tuple[CommittedGap, ...] = ()
) -> Reconciliation:
    return reconcile(ledger, Contents(events, gaps, frames=1))


def test_every_event_once_and_in_order_agrees(ledger: Ledger) -> None:
    result = compare(ledger, event(1), event(2), event(3))
    assert result.agrees
    assert (result.accepted, result.committed) == (3, 3)


def test_a_missing_event_is_named(ledger: Ledger) -> None:
    result = compare(ledger, event(1), event(3))
    assert result.missing == ("a-2",)
    assert not result.once
    assert "1 missing (a-2)" in str(result)


def test_only_a_missing_event_may_still_come(ledger: Ledger) -> None:
    assert compare(ledger, event(1)).mendable
    assert not compare(ledger, event(1), event(1, position=9)).mendable


def test_an_event_twice_is_named(ledger: Ledger) -> None:
    again = replace(event(1), place=Place(9, "normal", 1), position=(1, 9))
    result = compare(ledger, event(1), event(2), event(3), again)
    assert result.twice == ("a-1",)
    assert not result.once


def test_a_gapped_event_is_accounted_by_its_reason(ledger: Ledger) -> None:
    result = compare(ledger, event(1), gaps=(gap(2, 2),))
    assert result.agrees
    assert result.gapped == {"evicted": 2}


def test_an_event_both_there_and_gapped_disagrees(ledger: Ledger) -> None:
    result = compare(ledger, event(1), event(2), event(3), gaps=(gap(3, 1),))
    assert result.gapped_too == ("a-3",)
    assert not result.agrees


def test_an_event_that_overtakes_is_out_of_order(ledger: Ledger) -> None:
    result = compare(ledger, event(1), event(2, position=3), event(3, position=2))
    assert result.out_of_order == ("a-2",)
    assert result.once
    assert not result.agrees


def test_order_is_not_asked_of_a_live_first_lane(ledger: Ledger) -> None:
    events = (event(1), event(2, position=3), event(3, position=2))
    assert compare(ledger, *(replace(e, order=Order.LIVE_FIRST) for e in events)).agrees


def test_order_is_not_asked_of_forked_frames(ledger: Ledger) -> None:
    forked = replace(event(2, position=3), fork=True)
    assert compare(ledger, event(1), forked, event(3, position=2)).agrees


def test_an_unsure_event_may_be_there_or_not(ledger: Ledger) -> None:
    ledger.post("a", "normal")
    assert compare(ledger, event(1), event(2), event(3)).agrees
    assert compare(ledger, event(1), event(2), event(3), event(4)).agrees


def test_a_refused_event_must_not_be_there(ledger: Ledger) -> None:
    ledger.refuse([ledger.post("a", "normal")])
    result = compare(ledger, event(1), event(2), event(3), event(4))
    assert result.refused_yet_there == ("a-4",)


def test_an_event_that_nobody_posted_disagrees(ledger: Ledger) -> None:
    result = compare(ledger, event(1), event(2), event(3), event(1, sender="forger"))
    assert result.strangers == 1
    assert not result.agrees


def test_an_event_at_another_ones_place_disagrees(ledger: Ledger) -> None:
    swapped = replace(event(1), place=event(2).place), replace(event(2), place=event(1).place)
    result = compare(ledger, *swapped, event(3))
    assert sorted(result.misplaced) == ["a-1", "a-2"]


def test_an_unreadable_frame_disagrees(ledger: Ledger) -> None:
    contents = Contents((event(1), event(2), event(3)), (), frames=2, unreadable=("row 1: torn",))
    assert not reconcile(ledger, contents).agrees
