"""What a resume answer changes: other lives of the file, restored regions, forks, floors."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from buffers.harness import (
    ADDRESS,
    Shop,
    all_pending,
    answer,
    assert_sound,
    kept_numbers,
    numbers_of,
    receipt_for,
    sales,
)
from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.store import Buffer
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.epoch import make_epoch, ordinal_of
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.limits import MAX_RESUME_STREAMS
from whimbrel_protocol.messages import StreamState


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def fill(buffer: Buffer, frames: int, start: int = 0) -> None:
    for number in range(frames):
        await buffer.accept(sales(10, start + 10 * number))
        await buffer.seal_all()


async def sent_numbers(buffer: Buffer) -> list[int]:
    """What the pending frames would bring to the region, in send order."""
    numbers = []
    for ref in await all_pending(buffer):
        data = await buffer.load(ref.id)
        assert data is not None
        frame = open_frame(data)
        assert (frame.header.first, frame.header.span) == (ref.first, ref.span)
        numbers += numbers_of(decode_events(frame.columns)) if ref.count else []
    return numbers


async def test_resume_asks_for_streams_with_frames_first_and_then_the_newest(shop: Shop) -> None:
    for _ in range(3):
        async with shop.buffer() as buffer:
            await fill(buffer, 1)
    async with shop.buffer() as buffer:
        (first,) = await all_pending(buffer)
        await buffer.settle(receipt_for([first]))
        epochs = [question.epoch for question in await buffer.streams()]
        assert epochs[0] > first.epoch
        assert epochs[-1] == first.epoch
        assert len(epochs) == 3


async def test_frames_that_another_life_delivered_are_freed_and_cut_exactly(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 3)
    async with shop.buffer() as buffer:
        (epoch,) = {ref.epoch for ref in await all_pending(buffer)}
        outcome = await buffer.apply_resume(
            answer(StreamState(epoch, "normal", ((1, 10), (14, 15)), b""))
        )
        assert (outcome.covered_frames, outcome.resealed_frames) == (1, 2)
        refs = await all_pending(buffer)
        assert [(r.first, r.span) for r in refs] == [(11, 3), (16, 5), (21, 10)]
        assert await sent_numbers(buffer) == [10, 11, 12, *range(15, 30)]
        line = (await buffer.stats()).lane("normal").ledger
        assert (line.accepted, line.delivered, line.pending) == (30, 12, 18)
        await assert_sound(buffer)


async def test_published_frames_are_never_cut(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 2)
        before = await all_pending(buffer)
        await buffer.load_to_send([before[-1]])
    async with shop.buffer() as buffer:
        await buffer.apply_resume(answer(StreamState(before[0].epoch, "normal", ((1, 15),), b"")))
        assert [r.digest for r in await all_pending(buffer)] == [r.digest for r in before]


async def test_restored_region_gets_receipted_frames_again_and_gaps_for_the_rest(
    shop: Shop,
) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 4)
        refs = await all_pending(buffer)
        await buffer.load_to_send([refs[-1]])
        await buffer.apply_resume(answer())
        await buffer.settle(receipt_for(refs[:3]))
        assert capacity.trim_receipted(buffer._state, 1) >= 1  # the oldest is no longer kept
        kept = (await buffer.stats()).lane("normal").receipted_frames
        outcome = await buffer.apply_resume(
            answer(StreamState(refs[0].epoch, "normal", (), b""), generation=b"gen-0002")
        )
        assert outcome.returned_frames == kept
        assert outcome.lost_events == 10 * (3 - kept)
        now = await all_pending(buffer)
        assert [ref.first for ref in now] == sorted(ref.first for ref in now)
        assert now[0].count == 0
        line = (await buffer.stats()).lane("normal").ledger
        assert line.balanced
        assert line.gapped[GapReason.LOST_AFTER_RECEIPT] == outcome.lost_events
        await assert_sound(buffer)


async def test_region_ahead_of_a_running_process_makes_it_number_anew(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 3)
        await buffer.accept(sales(5, 30))
        refs = await all_pending(buffer)
        before = buffer.epoch
        outcome = await buffer.apply_resume(
            answer(StreamState(before, "normal", ((1, 400),), b"otherdig"))
        )
        assert (outcome.rotated, outcome.fork_suspected) == (True, True)
        assert buffer.epoch == outcome.epoch > before
        now = await all_pending(buffer)
        assert {ref.epoch for ref in now} == {buffer.epoch}
        assert await sent_numbers(buffer) == list(range(35))
        assert refs[0].digest not in {ref.digest for ref in now}
        (accepted,) = await buffer.accept(sales(1, 35))
        assert (accepted.epoch, accepted.sequence) == (buffer.epoch, 36)
        await assert_sound(buffer)


async def test_same_digest_at_the_high_water_is_no_fork(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 2)
        refs = await all_pending(buffer)
        await buffer.load_to_send([refs[0]])
        outcome = await buffer.apply_resume(
            answer(StreamState(buffer.epoch, "normal", ((1, 10),), refs[0].digest))
        )
        assert not outcome.rotated


async def test_a_receipt_lost_before_the_last_one_is_no_fork(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 4)
        refs = await all_pending(buffer)
        await buffer.load_to_send([refs[2]])
        await buffer.apply_resume(answer())
        await buffer.settle(receipt_for([refs[0], refs[2]]))
        outcome = await buffer.apply_resume(
            answer(StreamState(buffer.epoch, "normal", ((1, 30),), refs[2].digest))
        )
        assert (outcome.rotated, outcome.fork_suspected) == (False, False)
        assert [ref.first for ref in await all_pending(buffer)] == [11, 31]


async def test_what_a_copy_of_the_card_delivered_is_not_sent_again(shop: Shop) -> None:
    """Both have the same frames, and the receipts for the other's reach this one too."""
    async with shop.buffer() as buffer:
        await fill(buffer, 4)
        refs = await all_pending(buffer)
        await buffer.settle(receipt_for([refs[2]]))  # those before it came while this one was away
        outcome = await buffer.apply_resume(
            answer(StreamState(buffer.epoch, "normal", ((1, 30),), refs[2].digest))
        )
        assert not outcome.rotated
        assert await sent_numbers(buffer) == list(range(30, 40))
        await assert_sound(buffer)


async def test_floor_above_the_epoch_makes_it_number_above_the_floor(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 2)
    async with shop.buffer() as buffer:
        await fill(buffer, 1, 20)
        floor = make_epoch(ordinal_of(buffer.epoch) + 5, 1)
        old = [StreamState(q.epoch, q.lane, (), b"") for q in await buffer.streams()]
        outcome = await buffer.apply_resume(answer(*old, floor=floor))
        assert outcome.rotated
        assert ordinal_of(buffer.epoch) > ordinal_of(floor)
        assert await sent_numbers(buffer) == list(range(30))
        assert {ref.epoch for ref in await all_pending(buffer)} == {buffer.epoch}
        await assert_sound(buffer)


async def test_two_lives_of_one_file_make_the_same_frames_of_what_was_staged(
    tmp_path: Path,
) -> None:
    first = Shop(tmp_path / "a" / "buffer.db")
    async with first.buffer() as buffer:
        await buffer.accept(sales(730))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = Shop(tmp_path / "b" / "buffer.db")
    second.chance.seed(99)
    second.clock.advance(1234)
    digests = []
    for shop in (first, second):
        async with shop.buffer() as buffer:
            digests.append([(r.epoch, r.first, r.digest) for r in await all_pending(buffer)])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


async def test_streams_beyond_one_resume_wait_for_the_next(shop: Shop) -> None:
    for number in range(MAX_RESUME_STREAMS // 4 + 2):
        async with shop.buffer() as buffer:
            for lane in ("critical", "high", "normal", "bulk"):
                await buffer.accept(sales(1, number, lane=lane))
    async with shop.buffer() as buffer:
        asked = await buffer.streams()
        assert len(asked) == MAX_RESUME_STREAMS
        states = [StreamState(q.epoch, q.lane, (), b"") for q in asked]
        assert (await buffer.apply_resume(answer(*states))).unasked_streams == 8
        for lane in ("critical", "high", "normal", "bulk"):
            while refs := await buffer.pending(lane, 0, 1):
                await buffer.settle(receipt_for(refs))
        assert {q.epoch for q in await buffer.streams()} >= {asked[-1].epoch}
        left = await buffer.streams()
        states = [StreamState(q.epoch, q.lane, (), b"") for q in left]
        assert (await buffer.apply_resume(answer(*states))).unasked_streams == 0
        assert len(await all_pending(buffer)) == 1
        assert await kept_numbers(buffer)


async def test_frames_of_a_former_address_go_once_the_region_was_asked_about_them(
    shop: Shop,
) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(5))
    shop.address = replace(ADDRESS, store="store-99")
    async with shop.buffer() as buffer:
        epoch = buffer.epoch
        states = [StreamState(q.epoch, q.lane, (), b"") for q in await buffer.streams()]
        present = replace(answer(*states), address=shop.address)
        assert (await buffer.apply_resume(present)).unasked_streams == 1
        assert await all_pending(buffer) == []
        assert await buffer.rest_address() == ADDRESS
        (question,) = await buffer.streams(ADDRESS)
        # the floor of the former address is not the present one's
        there = answer(StreamState(question.epoch, question.lane, (), b""), floor=epoch + 2**42)
        outcome = await buffer.apply_resume(there)
        assert (outcome.unasked_streams, outcome.rotated) == (0, False)
        (frame,) = await all_pending(buffer)
        assert (frame.address, frame.count) == (ADDRESS, 5)
        assert await buffer.rest_address() == shop.address


async def test_frames_of_a_former_region_go_by_their_own_uplink_only(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(5))
    shop.address = replace(ADDRESS, region="us-1")
    async with shop.buffer() as buffer:
        assert await buffer.elsewhere() == {ADDRESS: 1}
        await buffer.streams()
        outcome = await buffer.apply_resume(replace(answer(), address=shop.address))
        assert outcome.unasked_streams == 0
        assert await all_pending(buffer) == []
        assert await buffer.pending("normal", 0, 10, ADDRESS) == []  # nobody was asked yet
        (question,) = await buffer.streams(ADDRESS)
        there = answer(StreamState(question.epoch, question.lane, (), b""))
        assert (await buffer.apply_resume(there)).unasked_streams == 0
        (frame,) = await buffer.pending("normal", 0, 10, ADDRESS)
        assert (frame.address, frame.count) == (ADDRESS, 5)
        assert await all_pending(buffer) == []  # the present region's uplink leaves it alone
        await buffer.settle(receipt_for([frame]))
        assert await buffer.elsewhere() == {}
        assert await buffer.kept_elsewhere() == [ADDRESS]


async def test_a_generation_belongs_to_its_address(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 1)
        (sold,) = await all_pending(buffer)
        await buffer.apply_resume(answer(StreamState(sold.epoch, "normal", (), b"")))
        await buffer.settle(receipt_for([sold]))
    shop.address = replace(ADDRESS, region="us-1")
    async with shop.buffer() as buffer:
        here = replace(answer(), address=shop.address, generation=b"gen-us-1")
        assert (await buffer.apply_resume(here)).returned_frames == 0
        # the same journal as before, then one from a backup that lacks what it gave a receipt for
        has = StreamState(sold.epoch, "normal", ((1, 10),), sold.digest)
        assert (await buffer.apply_resume(answer(has))).returned_frames == 0
        lacks = replace(answer(replace(has, ranges=())), generation=b"gen-0002")
        assert (await buffer.apply_resume(lacks)).returned_frames == 1
        assert (await buffer.stats()).counters["generations_changed"] == 1


async def test_a_restored_region_is_asked_at_its_other_addresses_too(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 1)
        (sold,) = await all_pending(buffer)
        await buffer.apply_resume(answer(StreamState(sold.epoch, "normal", (), b"")))
        await buffer.settle(receipt_for([sold]))
    shop.address = replace(ADDRESS, store="store-99")
    async with shop.buffer() as buffer:
        await buffer.streams()
        here = replace(answer(), address=shop.address)
        assert (await buffer.apply_resume(here)).unasked_streams == 0
        restored = replace(here, generation=b"gen-0002")
        assert (await buffer.apply_resume(restored)).unasked_streams == 1
        assert await buffer.rest_address() == ADDRESS
        (question,) = await buffer.streams(ADDRESS)
        lacks = answer(StreamState(question.epoch, question.lane, (), b""))
        outcome = await buffer.apply_resume(replace(lacks, generation=b"gen-0002"))
        assert (outcome.returned_frames, outcome.unasked_streams) == (1, 0)
        (again,) = await all_pending(buffer)
        assert again.address == ADDRESS


async def test_a_hole_that_a_copy_s_frame_left_is_sent_again_and_then_named_as_a_gap(
    shop: Shop,
) -> None:
    async with shop.buffer() as buffer:
        await fill(buffer, 2)
        first, second = await all_pending(buffer)
        await buffer.load_to_send([second])
        await buffer.apply_resume(answer())
        await buffer.settle(receipt_for([first]))  # as a fork: a copy had committed 1 to 4
        has = answer(StreamState(first.epoch, "normal", ((1, 4),), b""))
        assert (await buffer.apply_resume(has)).returned_frames == 1
        again, second = await all_pending(buffer)
        assert again == replace(first, published=True)
        await buffer.settle(receipt_for([first]))
        assert (await buffer.apply_resume(has)).returned_frames == 0
        gap, rest = await all_pending(buffer)
        assert (gap.first, gap.span, gap.count, rest) == (5, 6, 0, second)
        line = (await buffer.stats()).lane("normal").ledger
        assert (line.balanced, line.gapped[GapReason.FORKED]) == (True, 6)
        await assert_sound(buffer)
