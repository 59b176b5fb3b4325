"""What may have been sent: durable before it is, ahead for a window, exact while a process runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buffers.harness import Shop, all_pending, answer, assert_sound, receipt_for, sales
from whimbrel_agent.buffer.sending import PUBLISH_WINDOW
from whimbrel_agent.buffer.state import FRAME_STRIDE
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import FrameRef, LaneConfig
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANE_NUMBERS, Order
from whimbrel_protocol.messages import StreamState

NORMAL = LANE_NUMBERS["normal"]
LANES = {"normal": LaneConfig(order=Order.LIVE_FIRST)}
"""No frame waits here for those of an epoch before."""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def seal_one(buffer: Buffer, number: int) -> FrameRef:
    """Accept and seal one frame of ten events; it is the newest one."""
    await buffer.accept(sales(10, 10 * number))
    await buffer.seal_all()
    return (await all_pending(buffer))[-1]


async def fill(buffer: Buffer, frames: int) -> list[FrameRef]:
    for number in range(frames):
        await seal_one(buffer, number)
    return await all_pending(buffer)


def stop_uncleanly(buffer: Buffer) -> None:
    """Leave the files as a killed process does."""
    buffer._state.database.close(clean=False)
    buffer._state.numbers.abandon()
    buffer._lock.release()


def durable_through(buffer: Buffer) -> int:
    """The bound in the file, as a next process reads it."""
    (value,) = buffer._state.database.connection.execute(
        "SELECT value FROM facts WHERE name = ?", (f"published {NORMAL}",)
    ).fetchone()
    return int.from_bytes(value, "big")


async def test_frames_sent_as_soon_as_they_are_sealed_cost_one_commit_a_window(
    shop: Shop,
) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        bounds = []
        for number in range(2 * PUBLISH_WINDOW):
            ref = await seal_one(buffer, number)
            logged = buffer._state.database.wal_frames()
            await buffer.load_to_send([ref])
            assert durable_through(buffer) >= ref.id
            if buffer._state.database.wal_frames() != logged:
                bounds.append(durable_through(buffer))
        assert len(bounds) == 2
        assert bounds[1] - bounds[0] == (PUBLISH_WINDOW + 1) * FRAME_STRIDE


async def test_a_running_process_takes_only_what_it_sent_as_published(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        refs = await fill(buffer, 3)
        await buffer.load_to_send([refs[1]])
        assert durable_through(buffer) > refs[2].id
        newest = await seal_one(buffer, 3)
        published = [ref.published for ref in await all_pending(buffer)]
        assert published == [True, True, False, False]
        assert not newest.published
        await buffer.discard()
        gaps = [(gap.first, gap.span) for gap in await all_pending(buffer)]
        assert gaps == [(1, 10), (11, 10), (21, 20)]  # only the never-sent ones grow together
        await assert_sound(buffer)


@pytest.mark.parametrize("clean", [False, True])
async def test_after_a_restart_the_window_counts_as_published_and_new_frames_do_not(
    shop: Shop, clean: bool
) -> None:
    buffer = await shop.start(lanes=LANES)
    refs = await fill(buffer, PUBLISH_WINDOW + 5)
    await buffer.load_to_send([refs[2]])
    if clean:
        await buffer.close()
    else:
        stop_uncleanly(buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        now = await all_pending(buffer)
        assert [ref.published for ref in now] == [True] * (PUBLISH_WINDOW + 3) + [False] * 2
        assert not (await seal_one(buffer, len(refs))).published


async def test_an_id_in_a_window_of_before_is_unsent_until_it_is_sent(shop: Shop) -> None:
    buffer = await shop.start(lanes=LANES)
    (first,) = await fill(buffer, 1)
    await buffer.load_to_send([first])
    stop_uncleanly(buffer)
    buffer = await shop.start(lanes=LANES)
    second, third = [await seal_one(buffer, number) for number in (1, 2)]
    assert second.id < third.id <= durable_through(buffer)
    await buffer.load_to_send([second])
    assert [ref.published for ref in await all_pending(buffer)] == [True, True, False]
    stop_uncleanly(buffer)
    async with shop.buffer(lanes=LANES) as buffer:
        # whether the third was sent is not known any more: what the region has of it is not cut
        assert [ref.published for ref in await all_pending(buffer)] == [True] * 3
        await buffer.apply_resume(answer(StreamState(third.epoch, "normal", ((1, 15),), b"")))
        assert [ref.digest for ref in await all_pending(buffer)] == [
            first.digest,
            second.digest,
            third.digest,
        ]


async def test_ids_given_again_after_everything_was_freed_are_unsent(shop: Shop) -> None:
    buffer = await shop.start(lanes=LANES, retain_share=0.0)
    refs = await fill(buffer, 3)
    await buffer.load_to_send([refs[-1]])
    await buffer.settle(receipt_for(refs))
    stop_uncleanly(buffer)
    async with shop.buffer(lanes=LANES, retain_share=0.0) as buffer:
        again = await seal_one(buffer, 3)
        assert again.id <= durable_through(buffer)
        assert not again.published


async def test_lanes_have_windows_of_their_own(shop: Shop) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        (normal,) = await fill(buffer, 1)
        await buffer.accept(sales(10, 10, lane="critical"))
        await buffer.seal_all()
        (critical,) = await all_pending(buffer, "critical")
        await buffer.load_to_send([normal])
        assert not (await all_pending(buffer, "critical"))[0].published
        await buffer.load_to_send([critical])
        assert (await all_pending(buffer, "critical"))[0].published
        assert durable_through(buffer) == normal.id + PUBLISH_WINDOW * FRAME_STRIDE


async def test_what_is_loaded_to_be_sent_is_known_in_every_lane_and_comes_whole(
    shop: Shop,
) -> None:
    async with shop.buffer(lanes=LANES) as buffer:
        await fill(buffer, 2)
        await buffer.accept(sales(10, 20, lane="critical"))
        await buffer.seal_all()
        refs = [*await all_pending(buffer, "critical"), *await all_pending(buffer)]
        stale = replace(refs[0], digest=b"12345678")  # another frame has taken its place
        loaded = await buffer.load_to_send([*refs, stale])
        assert loaded[-1] is None
        digests = [open_frame(data).digest for data in loaded if data is not None]
        assert digests == [ref.digest for ref in refs]
        for lane in ("critical", "normal"):
            assert all(ref.published for ref in await all_pending(buffer, lane))
