from __future__ import annotations

import pytest

from whimbrel_sim.ledger import Ledger, LedgerError, Outcome, Place


def test_numbers_of_a_sender_rise_from_one_and_ids_are_unique() -> None:
    ledger = Ledger()
    entries = [ledger.post(sender, "normal") for sender in ("a", "b", "a")]
    assert [(e.sender, e.number) for e in entries] == [("a", 1), ("b", 1), ("a", 2)]
    assert len({e.event_id for e in entries}) == len(ledger) == 3


def test_a_post_without_an_answer_stays_unsure() -> None:
    ledger = Ledger()
    kept, lost = ledger.post("a", "normal"), ledger.post("a", "normal")
    ledger.accept([kept], [Place(7, "normal", 1)])
    assert (kept.outcome, lost.outcome) == (Outcome.ACCEPTED, Outcome.UNSURE)
    assert ledger.count(Outcome.UNSURE) == 1


def test_the_same_answer_twice_is_one_acceptance() -> None:
    ledger = Ledger()
    entry = ledger.post("a", "normal")
    for _ in range(2):
        ledger.accept([entry], [Place(7, "normal", 1)])
    assert ledger.count(Outcome.ACCEPTED) == 1


def test_a_second_place_for_one_event_breaks_the_products_word() -> None:
    ledger = Ledger()
    entry = ledger.post("a", "normal")
    ledger.accept([entry], [Place(7, "normal", 1)])
    with pytest.raises(LedgerError, match="a-1 was accepted"):
        ledger.accept([entry], [Place(7, "normal", 2)])


def test_an_accepted_event_cannot_be_refused_later() -> None:
    ledger = Ledger()
    entry = ledger.post("a", "normal")
    ledger.accept([entry], [Place(7, "normal", 1)])
    with pytest.raises(LedgerError, match="now it is refused"):
        ledger.refuse([entry])
