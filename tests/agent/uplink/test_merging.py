"""Receipts that came in together are settled together."""

from __future__ import annotations

from collections import deque

from whimbrel_agent.uplink.merging import merged, take_some
from whimbrel_protocol.messages import Credit, Receipt, ReceiptEntry, Status
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")


def receipt(address: Address, *entries: ReceiptEntry) -> Receipt:
    return Receipt(address, b"gen-0001", entries, 1, 1, Credit(1, 1))


ENTRY = ReceiptEntry(1 << 40, "normal", 1, 10, b"12345678", Status.COMMITTED)


def test_receipts_are_merged_by_address() -> None:
    other = Address(tenant="acme", region="eu-1", store="store-2", device="till-1")
    groups = merged([receipt(ADDRESS, ENTRY), receipt(other, ENTRY), receipt(ADDRESS, ENTRY)])
    assert [(one.address, len(one.entries)) for one in groups] == [(ADDRESS, 2), (other, 1)]


def test_one_transaction_settles_a_bounded_number_of_frames() -> None:
    waiting = deque([receipt(ADDRESS, *[ENTRY] * 256)] * 9)
    assert [len(take_some(waiting)) for _ in range(3)] == [4, 4, 1]
    assert not waiting
