from __future__ import annotations

from regions.frames import Device
from regions.ingesting import delivery
from whimbrel_aggregator.ingest.admission import ParsedFrame, parse
from whimbrel_aggregator.ingest.receipts import Settled, receipts_for
from whimbrel_aggregator.ingest.verdict import Decision, Verdict
from whimbrel_protocol.limits import MAX_RECEIPT_ENTRIES
from whimbrel_protocol.messages import Credit, Status

TILL = Device()
CREDIT = Credit(5, 6)


def settled(first: int, *, status: Status | None = Status.COMMITTED) -> Settled:
    frame = parse(delivery(TILL, TILL.frame(first)))
    assert isinstance(frame, ParsedFrame)
    return Settled(frame, Decision(Verdict.COMMIT, frame.candidate.key, status))


def test_a_frame_that_the_device_keeps_is_not_named() -> None:
    receipts = receipts_for(
        [settled(1), settled(6, status=None)],
        generation=b"g" * 8,
        credit_of=lambda _: CREDIT,
        sent_ns=9,
    )
    [receipt] = receipts
    assert [entry.first for entry in receipt.entries] == [1]
    assert (receipt.sent_ns, receipt.credit) == (9, CREDIT)


def test_many_frames_of_one_device_take_several_receipts() -> None:
    many = [settled(1 + number * 5) for number in range(MAX_RECEIPT_ENTRIES + 1)]
    receipts = receipts_for(many, generation=b"g" * 8, credit_of=lambda _: CREDIT, sent_ns=9)
    assert [len(receipt.entries) for receipt in receipts] == [MAX_RECEIPT_ENTRIES, 1]


def test_nothing_settled_needs_no_receipt() -> None:
    assert receipts_for([], generation=b"g" * 8, credit_of=lambda _: CREDIT, sent_ns=9) == []
