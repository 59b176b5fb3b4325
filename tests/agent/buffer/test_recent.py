"""Events kept in memory until they are sealed: they change no frame, and are few."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from buffers.harness import Shop, all_pending, assert_sound, kept_numbers, sales
from whimbrel_agent.buffer import recent
from whimbrel_agent.buffer.recent import MAX_RECENT_BYTES, Recent
from whimbrel_agent.buffer.staging import Stamp, pack_lane
from whimbrel_agent.buffer.state import StagedSlot
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.rows import pack_events

STAMP = Stamp(1, 2, ClockQuality.SYNCED)


def put(into: Recent, row_id: int, count: int, *, size_bytes: int = 100) -> StagedSlot:
    (pack,) = pack_lane(2, sales(count, row_id * 100))
    slot = StagedSlot(row_id, 7, row_id * 100 + 1, count, size_bytes, STAMP.mono_ns)
    into.put(slot, pack, STAMP)
    return slot


def test_rows_come_back_with_their_events_once() -> None:
    kept = Recent()
    slots = [put(kept, number, 10) for number in range(3)]
    found = kept.take(slots[:2])
    assert found is not None
    assert [list(row.events) for row in found] == [sales(10, 0), sales(10, 100)]
    assert [(row.epoch, row.first, row.stamp) for row in found] == [(7, 1, STAMP), (7, 101, STAMP)]
    assert kept.take(slots[:2]) is None
    assert kept.take(slots[2:]) is not None


def test_rows_that_are_not_all_here_are_read_from_the_disk() -> None:
    kept = Recent()
    here = put(kept, 1, 5)
    assert kept.take([here, here._replace(id=2)]) is None
    assert kept.take([put(kept, 3, 5)._replace(first=9)]) is None


def test_what_is_kept_stays_small_and_the_oldest_stay() -> None:
    kept = Recent()
    share = MAX_RECENT_BYTES // 4
    slots = [put(kept, number, 5, size_bytes=share) for number in range(6)]
    assert kept.take(slots[4:]) is None
    assert kept.take(slots[:4]) is not None
    again = [put(kept, number, 5, size_bytes=share) for number in range(6, 10)]
    assert kept.take(again) is not None
    assert kept.take([put(kept, 11, 5, size_bytes=MAX_RECENT_BYTES + 1)]) is None


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_frame_is_the_same_from_memory_and_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keyed: bool
) -> None:
    frames = []
    for limit in (MAX_RECENT_BYTES, 0):
        monkeypatch.setattr(recent, "MAX_RECENT_BYTES", limit)
        shop = Shop(tmp_path / f"{limit}" / "buffer.db", chance=random.Random(3))
        async with shop.buffer() as buffer:
            for start in range(0, 1_500, 100):
                group = [*sales(70, start), *sales(30, start + 70, lane="high")]
                keys = [b"%d" % at for at in range(100)] if keyed and start == 300 else None
                await buffer.accept(group, keys=keys)
            await buffer.seal_all()
            refs = [ref for lane in ("high", "normal") for ref in await all_pending(buffer, lane)]
            frames.append([await buffer.load(ref.id) for ref in refs])
            assert sorted(await kept_numbers(buffer)) == list(range(1_500))
            await assert_sound(buffer)
    assert frames[0] == frames[1]
    assert len(frames[0]) >= 3


async def test_events_that_were_changed_or_taken_back_by_their_giver_are_still_as_accepted(
    tmp_path: Path,
) -> None:
    async with Shop(tmp_path / "buffer.db").buffer() as buffer:
        given = sales(10)
        await buffer.accept(given)
        given.clear()
        await buffer.seal_all()
        assert sorted(await kept_numbers(buffer)) == list(range(10))


def test_the_bound_is_of_packed_bytes() -> None:
    assert 500 < MAX_RECENT_BYTES * 500 / len(pack_events(sales(500))) < 3_000
