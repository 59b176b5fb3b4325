"""From payload to receipt through the real journal: every verdict as a device meets it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from regions.frames import START_NS, Device
from regions.ingesting import delivery, enrol, of_type, region_in
from whimbrel_aggregator.config import IngestConfig
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.journal.port import Append, AppendResult, RetentionPolicy
from whimbrel_aggregator.workers import ThreadWorkers
from whimbrel_protocol import cborform, cose
from whimbrel_protocol.epoch import fork_epoch, make_epoch, ordinal_of
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import GapReason, Order
from whimbrel_protocol.messages import Hold, Receipt, ReceiptEntry, Status, StreamQuestion, Want

TILL = Device()


def digest(payload: bytes) -> bytes:
    return open_frame(payload).digest


async def test_a_frame_is_committed_and_named_in_a_signed_receipt(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        frame = TILL.frame(1)
        [receipt] = of_type(await region.frames(TILL, frame), Receipt)
        assert receipt.entries == (
            ReceiptEntry(TILL.epoch, "normal", 1, 5, digest(frame), Status.COMMITTED),
        )
        assert receipt.generation == region.journal.generation
        assert receipt.address == TILL.address
        assert receipt.received_ns == START_NS
        assert receipt.credit.size_bytes > 0
        [kept] = await region.kept()
        assert kept.data == frame


async def test_frames_of_one_device_in_one_group_share_a_receipt(tmp_path: Path) -> None:
    other = Device("till-2", store="store-2")
    async with region_in(tmp_path, TILL, other) as region:
        answers = await region.take(
            *(delivery(TILL, TILL.frame(first)) for first in (1, 6, 11)),
            delivery(other, other.frame(1)),
        )
        assert sorted(len(one.entries) for one in of_type(answers, Receipt)) == [1, 3]


async def test_a_duplicate_is_receipted_again_and_kept_once(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        frame = TILL.frame(1)
        entries = await region.settle(TILL, frame, frame)
        entries += await region.settle(TILL, frame)
        assert [entry.status for entry in entries] == [Status.COMMITTED] * 3
        assert len({entry.digest for entry in entries}) == 1
        assert len(await region.kept()) == 1
        assert region.counters["frames_duplicate"] == 2


async def test_an_in_order_lane_wants_the_frame_that_is_missing(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        answers = await region.frames(TILL, TILL.frame(1), TILL.frame(11))
        [receipt] = of_type(answers, Receipt)
        assert [entry.first for entry in receipt.entries] == [1]
        [want] = of_type(answers, Want)
        assert [state.ranges for state in want.streams] == [((1, 5),)]
        entries = await region.settle(TILL, TILL.frame(6), TILL.frame(11))
        assert [entry.first for entry in entries] == [6, 11]
        assert [frame.first for frame in await region.kept()] == [1, 6, 11]


async def test_a_live_first_lane_takes_holes_up_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_aggregator.ingest.verdict.MAX_RANGES_PER_STREAM", 3)
    async with region_in(tmp_path, TILL) as region:
        frames = [TILL.frame(first, order=Order.LIVE_FIRST) for first in (1, 11, 21, 31, 6)]
        answers = await region.frames(TILL, *frames)
        [receipt] = of_type(answers, Receipt)
        assert [entry.first for entry in receipt.entries] == [1, 11, 21, 6]
        [want] = of_type(answers, Want)
        assert [state.ranges for state in want.streams] == [((1, 15), (21, 25))]
        assert [entry.first for entry in await region.settle(TILL, frames[3])] == [31]


async def test_a_gap_after_its_events_is_void(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        gap = TILL.gap(1)
        [entry] = await region.settle(TILL, gap)
        assert (entry.status, entry.digest) == (Status.COMMITTED, digest(gap))
        assert region.counters["frames_gap_void"] == 1
        assert [frame.count for frame in await region.kept()] == [5]


async def test_events_after_their_gap_are_late_and_not_served(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        [gapped] = await region.settle(TILL, TILL.gap(1))
        assert (gapped.status, gapped.reason) == (Status.GAPPED, GapReason.EVICTED)
        late = TILL.frame(1)
        [entry] = await region.settle(TILL, late)
        assert (entry.status, entry.reason) == (Status.GAPPED, GapReason.EVICTED)
        assert entry.digest == digest(late)
        assert [frame.count for frame in await region.kept()] == [0]
        assert region.counters["frames_late_after_gap"] == 1


@pytest.mark.parametrize("first", [1, 3])
async def test_other_content_for_a_settled_range_is_a_fork_and_nothing_is_lost(
    tmp_path: Path, first: int
) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        forked = TILL.frame(first, content=b"another life")
        entries = await region.settle(TILL, forked, forked)
        entries += await region.settle(TILL, forked)
        assert [(entry.epoch, entry.status) for entry in entries] == [
            (TILL.epoch, Status.COMMITTED)
        ] * 3
        kept = await region.kept()
        assert [frame.fork for frame in kept] == [False, True]
        assert kept[1].key.epoch == fork_epoch(digest(forked), ordinal_of(TILL.epoch))
        assert region.counters["frames_forked"] == 1
        device = await region.journal.device(TILL.device_key)
        assert device is not None
        assert device.state.forks == 1


async def test_what_is_past_retention_is_committed_with_an_unknown_digest(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        await region.journal.retain(RetentionPolicy(max_age_ns=0), START_NS + 1)
        [entry] = await region.settle(TILL, TILL.frame(1, content=b"who knows"))
        assert entry.status is Status.COMMITTED_UNKNOWN
        assert await region.kept() == []


async def test_the_oldest_epochs_are_folded_and_answered_as_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_aggregator.ingest.verdict.MAX_STREAMS_PER_DEVICE", 8)
    monkeypatch.setattr("whimbrel_aggregator.ingest.commit.FOLD_TO_STREAMS", 6)
    async with region_in(tmp_path, TILL) as region:
        for ordinal in range(1, 10):
            epoch = make_epoch(ordinal, 3)
            [entry] = await region.settle(TILL, TILL.frame(1, epoch=epoch))
            assert entry.status is Status.COMMITTED
            await region.journal.retain(RetentionPolicy(max_age_ns=0), START_NS + 1)
        answer = await region.resume(TILL, StreamQuestion(make_epoch(1, 3), "normal"))
        assert answer.epoch_floor == make_epoch(3, 0)
        [entry] = await region.settle(TILL, TILL.frame(1, epoch=make_epoch(2, 3)))
        assert entry.status is Status.COMMITTED_UNKNOWN
        assert region.counters["frames_below_floor"] == 1


async def test_a_flood_of_forks_is_held_and_never_folds_the_present_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_aggregator.ingest.verdict.MAX_STREAMS_PER_DEVICE", 8)
    monkeypatch.setattr("whimbrel_aggregator.ingest.commit.FOLD_TO_STREAMS", 6)
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        forks = [TILL.frame(1, content=b"life %d" % number) for number in range(10)]
        answers = await region.frames(TILL, *forks)
        assert region.counters["frames_forked"] == 7
        assert region.counters["held_streams"] == 3
        assert of_type(answers, Hold)
        [entry] = await region.settle(TILL, TILL.frame(6))
        assert entry.status is Status.COMMITTED
        answer = await region.resume(TILL, StreamQuestion(TILL.epoch, "normal"))
        assert answer.epoch_floor <= TILL.epoch


async def test_a_resume_is_answered_with_ranges_digest_and_nonce(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        last = TILL.frame(6)
        await region.settle(TILL, TILL.frame(1), last)
        unknown = StreamQuestion(make_epoch(9, 9), "critical")
        answer = await region.resume(TILL, StreamQuestion(TILL.epoch, "normal"), unknown)
        known, empty = answer.streams
        assert known.ranges == ((1, 10),)
        assert known.digest == digest(last)
        assert (empty.ranges, empty.digest) == ((), b"")
        assert (answer.nonce, answer.echo_sent_ns, answer.received_ns) == (b"n" * 16, 5, 7)
        assert answer.generation == region.journal.generation


# ---- refusals


async def test_a_device_that_is_not_enrolled_is_held_at_a_bounded_rate(tmp_path: Path) -> None:
    stranger = Device("till-9")
    async with region_in(tmp_path, TILL) as region:
        answers = await region.frames(stranger, *(stranger.frame(1) for _ in range(50)))
        assert [type(one) for one in answers] == [Hold]
        assert region.counters["held_not_enrolled"] == 50
        assert region.counters["holds_suppressed"] == 49
        [seen] = region.strangers.list()
        assert (seen.address, seen.messages) == (stranger.address, 50)
        assert seen.key_id == stranger.key.public.key_id
        assert await region.kept() == []


async def test_a_frame_signed_with_another_key_is_not_committed(tmp_path: Path) -> None:
    impostor = Device(seed=2)
    async with region_in(tmp_path, TILL) as region:
        assert not of_type(await region.frames(impostor, impostor.frame(1)), Receipt)
        assert region.counters["held_unknown_key"] == 1
        assert await region.kept() == []


async def test_a_flipped_bit_on_the_wire_is_never_committed(tmp_path: Path) -> None:
    draw = random.Random(3)
    sound = TILL.frame(1)
    flipped = []
    for _ in range(400):
        data = bytearray(sound)
        at = draw.randrange(len(data) * 8)
        data[at // 8] ^= 1 << at % 8
        flipped.append(bytes(data))
    async with region_in(tmp_path, TILL) as region:
        assert not of_type(await region.frames(TILL, *flipped), Receipt)
        assert await region.kept() == []
        names = (
            "refused_malformed",
            "refused_signature",
            "held_unknown_key",
            "refused_misaddressed",
        )
        refused = sum(region.counters[name] for name in (*names, "refused_region"))
        assert refused == 400


async def test_misaddressed_retained_and_odd_messages_are_counted_not_answered(
    tmp_path: Path,
) -> None:
    other = Device("till-2")
    frame = TILL.frame(1)
    async with region_in(tmp_path, TILL, other) as region:
        good = delivery(TILL, frame)
        await region.take(
            delivery(TILL, frame, retained=True),
            delivery(other, frame),
            delivery(TILL, frame, lane="critical"),
            Delivery(good.topic.replace("/live/", "/elsewhere/"), frame, False, 1),
            Delivery("wb/1/birth/acme/store-1/till-1", b"{}", False, 1),
            Delivery(good.topic, b"garbage", False, 1),
            Delivery(good.topic, bytes(120_001), False, 1),
            Delivery(good.topic.replace("/normal", "/resume"), frame, False, 1),
            delivery(Device(region="us-1"), Device(region="us-1").frame(1)),
        )
        assert region.answers == []
        totals = {name: count for name, count in region.counters.totals().items() if count}
        totals.pop("bytes_received")
        assert totals == {
            "messages_received": 9,
            "refused_retained": 1,
            "refused_misaddressed": 2,
            "refused_topic": 1,
            "births_received": 1,
            "refused_malformed": 2,
            "refused_too_long": 1,
            "refused_region": 1,
        }


async def test_a_down_message_of_the_region_is_not_taken_from_the_broker(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        await region.settle(TILL, TILL.frame(1))
        topic, _ = region.answers[0]
        assert await region.take(Delivery(topic, b"", False, 1)) == []
        assert region.counters["refused_topic"] == 1


async def test_a_frame_of_another_version_is_stored_and_refused_with_a_gap(tmp_path: Path) -> None:
    payload = cborform.load(cose.parse(TILL.frame(1)).payload, "frame")
    payload[1][0] = 2
    newer = cose.sign(cborform.dump(payload), TILL.key)
    async with region_in(tmp_path, TILL) as region:
        entries = await region.settle(TILL, newer, newer)
        assert [(entry.status, entry.reason) for entry in entries] == [
            (Status.GAPPED, GapReason.REFUSED)
        ] * 2
        [kept] = await region.kept()
        assert (kept.data, kept.count, kept.span) == (newer, 0, 5)
        assert region.counters["frames_refused"] == 1
        [entry] = await region.settle(TILL, TILL.frame(6))
        assert entry.status is Status.COMMITTED


async def test_a_newly_enrolled_device_is_taken_after_registry_forgot(tmp_path: Path) -> None:
    late = Device("till-5")
    async with region_in(tmp_path, TILL) as region:
        await region.frames(late, late.frame(1))
        await enrol(region.journal, late)
        region.registry.forget()
        [entry] = await region.settle(late, late.frame(1))
        assert entry.status is Status.COMMITTED


# ---- bounds


async def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL, config=IngestConfig(queue_bytes=3_000)) as region:
        frames = [TILL.frame(first) for first in range(1, 101, 5)]
        entries = await region.settle(TILL, *frames)
        assert 0 < len(entries) < 20
        assert region.counters["dropped_queue_full"] == 20 - len(entries)
        assert len(await region.settle(TILL, *frames[:3])) == 3


async def test_at_the_byte_cap_nothing_new_is_receipted_and_duplicates_still_are(
    tmp_path: Path,
) -> None:
    async with region_in(tmp_path, TILL, max_bytes=4 * 2**20) as region:
        frames = [
            TILL.frame(first, content=random.Random(first).randbytes(100_000))
            for first in range(1, 300, 5)
        ]
        entries: list[ReceiptEntry] = []
        credits_ = []
        for frame in frames:
            for receipt in of_type(await region.frames(TILL, frame), Receipt):
                entries += receipt.entries
                credits_.append(receipt.credit.size_bytes)
        assert 10 < len(entries) < len(frames)
        assert credits_[-1] == 0
        missing = len(frames) - len(entries)
        assert region.counters["dropped_journal_full"] == 1
        assert region.counters["frames_out_of_order"] == missing - 1
        again = await region.frames(TILL, frames[0], frames[-1])
        named = [entry for receipt in of_type(again, Receipt) for entry in receipt.entries]
        assert [(entry.first, entry.status) for entry in named] == [(1, Status.COMMITTED)]
        await region.journal.retain(RetentionPolicy(keep_bytes=2**20), START_NS + 1)
        await region.journal.checkpoint()
        [entry] = await region.settle(TILL, frames[len(entries)])
        assert entry.status is Status.COMMITTED


async def test_without_a_broker_answers_are_dropped_and_counted(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        region.connected = False
        await region.frames(TILL, TILL.frame(1))
        assert region.counters["answers_dropped"] == 1
        assert region.counters["receipts_sent"] == 0
        region.connected = True
        assert len(await region.settle(TILL, TILL.frame(1))) == 1


async def test_groups_grow_with_what_is_queued_and_stop_at_their_limit(tmp_path: Path) -> None:
    config = IngestConfig(group_frames=10)
    async with region_in(tmp_path, TILL, config=config) as region:
        seen: list[int] = []
        real = region.journal.append

        async def counting(appends: Sequence[Append]) -> list[AppendResult]:
            seen.append(sum(len(append.frames) for append in appends))
            return await real(appends)

        region.journal.append = counting  # type: ignore[method-assign]
        await region.settle(TILL, *(TILL.frame(first) for first in range(1, 126, 5)))
        assert seen == [10, 10, 5]


async def test_verifying_in_threads_keeps_the_order(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        ingest, answerer = region.ingest()
        ingest._workers = ThreadWorkers(2, "verify")
        for first in range(1, 501, 5):
            ingest.offer(delivery(TILL, TILL.frame(first)))
        ingest.stop()
        async with asyncio.timeout(30):
            await ingest.run(answerer)
        await ingest._workers.close()
        assert [frame.first for frame in await region.kept()] == list(range(1, 501, 5))
        assert region.counters["frames_out_of_order"] == 0


async def test_nothing_is_taken_while_stopping(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        ingest, _ = region.ingest()
        ingest.stop()
        assert not ingest.offer(delivery(TILL, TILL.frame(1)))
        assert region.counters["dropped_stopping"] == 1


async def test_a_receipt_is_made_only_after_its_commit(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        order: list[str] = []
        real = region.journal.append
        publish = region.publish

        async def append(appends: Sequence[Append]) -> list[AppendResult]:
            results = await real(appends)
            order.append("committed")
            return results

        def telling(topic: str, payload: bytes) -> bool:
            order.append("receipted")
            return publish(topic, payload)

        region.journal.append = append  # type: ignore[method-assign]
        region.publish = telling  # type: ignore[method-assign]
        await region.frames(TILL, TILL.frame(1))
        assert order == ["committed", "receipted"]
