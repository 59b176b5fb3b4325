from __future__ import annotations

from datetime import UTC, datetime

import pytest

from whimbrel_aggregator.flow import usage
from whimbrel_aggregator.flow.usage import Usage, UsageBook, UsageRow, month_of, next_month
from whimbrel_aggregator.journal.values import DeviceKey

TILL = DeviceKey("acme", "store-1", "till-1")
ONE = Usage(1, 10, 1_000)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


NOVEMBER = ns("2026-11-26T10:00:00")


def test_months_are_utc_calendar_months() -> None:
    assert month_of(ns("2026-11-30T23:59:59")) == "2026-11"
    assert month_of(ns("2026-12-01T00:00:00")) == "2026-12"
    assert (next_month("2026-11"), next_month("2026-12")) == ("2026-12", "2027-01")
    assert month_of(2**63 - 1) == "2262-04"
    assert month_of(-5) == "1970-01"


def test_a_device_counts_for_its_store_its_tenant_and_the_region() -> None:
    book = UsageBook((), now_ns=NOVEMBER)
    book.add(TILL, ONE)
    book.add(DeviceKey("acme", "store-1", "till-2"), ONE)
    book.add(DeviceKey("acme", "store-2", "till-1"), ONE)
    counted = {row.scope: row.usage.frames for row in book.rows()}
    assert counted[()] == counted["acme",] == 3
    assert counted["acme", "store-1"] == 2
    assert counted["acme", "store-1", "till-1"] == 1
    assert {row.month for row in book.rows()} == {"2026-11"}
    assert [row.scope for row in book.rows(longest=1)] == [(), ("acme",)]


def test_a_new_month_begins_at_nothing_and_the_old_one_is_still_stored() -> None:
    book = UsageBook((), now_ns=NOVEMBER)
    book.add(TILL, ONE)
    book.turn(ns("2026-12-01T00:00:01"))
    assert book.of(("acme",)) == Usage()
    book.add(TILL, ONE)
    stored = {(row.month, row.scope): row.usage for row in book.take_changed()}
    assert stored["2026-11", ("acme",)] == stored["2026-12", ("acme",)] == ONE
    assert book.take_changed() == []


def test_what_could_not_be_stored_is_handed_out_again_with_what_came_since() -> None:
    book = UsageBook((), now_ns=NOVEMBER)
    book.add(TILL, ONE)
    book.give_back(book.take_changed())
    book.add(TILL, ONE)
    [device] = [row for row in book.take_changed() if len(row.scope) == 3]
    assert device.usage == ONE + ONE


def test_a_restart_goes_on_from_what_was_stored() -> None:
    rows = [UsageRow("2026-10", ("acme",), ONE), UsageRow("2026-11", ("acme",), ONE + ONE)]
    assert UsageBook(rows, now_ns=NOVEMBER).of(("acme",)) == ONE + ONE


@pytest.mark.parametrize("lost", [0, ns("2000-01-01T00:00:00")])
def test_a_clock_that_lost_its_time_does_not_reset_a_quota(lost: int) -> None:
    rows = [UsageRow("2026-11", ("acme",), ONE)]
    book = UsageBook(rows, now_ns=lost)
    assert (book.month, book.of(("acme",))) == ("2026-11", ONE)
    book = UsageBook(rows, now_ns=NOVEMBER)
    book.turn(lost)
    assert book.month == "2026-11"


def test_past_the_cap_devices_are_counted_with_their_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_SCOPES", 10)
    book = UsageBook((), now_ns=NOVEMBER)
    for number in range(100):
        book.add(DeviceKey("acme", "store-1", f"till-{number}"), ONE)
    assert len(book.rows()) == 10
    assert book.of(("acme", "store-1")).frames == 100
