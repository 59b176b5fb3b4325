from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regions.frames import Device
from regions.ingesting import delivery
from whimbrel_aggregator.ingest.admission import ParsedFrame, parse
from whimbrel_aggregator.ingest.receipts import Load, Settled, credit_for, receipts_for
from whimbrel_aggregator.ingest.verdict import Decision, Verdict
from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES, MAX_RECEIPT_ENTRIES
from whimbrel_protocol.messages import Credit, Status

TILL = Device()
CREDIT = Credit(5, 6)


def settled(first: int, *, status: Status | None = Status.COMMITTED) -> Settled:
    frame = parse(delivery(TILL, TILL.frame(first)))
    assert isinstance(frame, ParsedFrame)
    return Settled(frame, Decision(Verdict.COMMIT, frame.candidate.key, status))


def test_a_frame_that_the_device_keeps_is_not_named() -> None:
    receipts = receipts_for(
        [settled(1), settled(6, status=None)], generation=b"g" * 8, credit=CREDIT, sent_ns=9
    )
    [receipt] = receipts
    assert [entry.first for entry in receipt.entries] == [1]
    assert (receipt.sent_ns, receipt.credit) == (9, CREDIT)


def test_many_frames_of_one_device_take_several_receipts() -> None:
    many = [settled(1 + number * 5) for number in range(MAX_RECEIPT_ENTRIES + 1)]
    receipts = receipts_for(many, generation=b"g" * 8, credit=CREDIT, sent_ns=9)
    assert [len(receipt.entries) for receipt in receipts] == [MAX_RECEIPT_ENTRIES, 1]


def test_nothing_settled_needs_no_receipt() -> None:
    assert receipts_for([], generation=b"g" * 8, credit=CREDIT, sent_ns=9) == []


@given(
    room=st.integers(0, 2**50),
    queued=st.integers(0, 2**25),
    limit=st.integers(1, 2**24),
    most=st.integers(MAX_PAYLOAD_BYTES, 2**40),
)
def test_credit_is_zero_without_room_and_lets_a_payload_through_with_it(
    room: int, queued: int, limit: int, most: int
) -> None:
    credit = credit_for(Load(room, queued, limit), most_bytes=most, lifetime_s=7)
    assert credit.lifetime_s == 7
    if room < MAX_PAYLOAD_BYTES:
        assert credit.size_bytes == 0
    else:
        assert MAX_PAYLOAD_BYTES <= credit.size_bytes <= max(most, MAX_PAYLOAD_BYTES)
        assert credit.size_bytes <= max(room // 16, MAX_PAYLOAD_BYTES)


def test_credit_shrinks_as_the_queue_fills() -> None:
    sizes = [
        credit_for(Load(2**40, queued, 1_000), most_bytes=2**30, lifetime_s=1).size_bytes
        for queued in (0, 500, 900, 1_000, 5_000)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 2**30
    assert sizes[-1] == MAX_PAYLOAD_BYTES
