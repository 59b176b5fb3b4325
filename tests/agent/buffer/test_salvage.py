"""Damage on real files: what is intact is kept, what is lost is accounted for, none is served."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from buffers.harness import (
    Shop,
    all_pending,
    answer,
    assert_sound,
    kept_numbers,
    receipt_for,
    sales,
)
from whimbrel_agent.buffer import pagesize
from whimbrel_agent.buffer.database import KNOWN_PAGE_BYTES, PAGE_BYTES
from whimbrel_agent.buffer.store import Buffer
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.messages import StreamState

FLIPS = 200
"""For each page size."""

MAX_ROW_LOSS = 100
"""The biggest frame or staged row in the files of these tests, events."""


@pytest.fixture(params=KNOWN_PAGE_BYTES)
def page_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The page size of files made from here on; what salvage makes has that of new files."""
    size: int = request.param
    monkeypatch.setattr(pagesize, "PAGE_BYTES", size)
    return size


async def leave_behind(path: Path, *, with_shm: bool = False, clean: bool = False) -> Path:
    """A buffer as a killed process leaves it: frames, receipted frames, staged rows, a log."""
    shop = Shop(path / "before" / "buffer.db")
    buffer = await shop.start()
    for start in range(0, 1_000, 100):
        await buffer.accept(sales(100, start))
        await buffer.seal_all()
    refs = await all_pending(buffer)
    await buffer.settle(receipt_for(refs[:3]))
    await buffer.load_to_send([refs[4]])
    buffer._state.database.checkpoint()
    for start in range(1_000, 1_500, 100):
        await buffer.accept(sales(100, start), keys=[b"%d" % n for n in range(start, start + 100)])
        if start < 1_200:
            await buffer.seal_all()
    if clean:
        await buffer.close()
    left = path / "left"
    left.mkdir()
    for file in shop.path.parent.iterdir():
        if with_shm or not file.name.endswith("-shm"):
            shutil.copy(file, left / file.name)
    await buffer.close()
    return left


async def reopen(left: Path, into: Path) -> Shop:
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(left, into)
    return Shop(into / "buffer.db")


async def test_a_killed_process_leaves_every_answered_event(tmp_path: Path) -> None:
    left = await leave_behind(tmp_path, with_shm=True)
    shop = await reopen(left, tmp_path / "now")
    async with shop.buffer() as buffer:
        assert sorted(await kept_numbers(buffer)) == list(range(1_500))
        assert (await buffer.stats()).damage is None
        await assert_sound(buffer)


async def test_frames_count_as_sent_when_the_word_on_it_is_damaged(tmp_path: Path) -> None:
    left = await leave_behind(tmp_path, clean=True)
    with closing(sqlite3.connect(left / "buffer.db")) as connection, connection:
        changed = connection.execute("UPDATE facts SET value = x'00' WHERE name LIKE 'published%'")
        assert changed.rowcount == 1
    shop = await reopen(left, tmp_path / "now")
    async with shop.buffer() as buffer:
        assert (await buffer.stats()).damage is not None
        refs = [ref for ref in await all_pending(buffer) if ref.first <= 1_200]
        assert len(refs) == 9  # sent or not, none may be replaced by another with its numbers
        assert all(buffer._state.is_published(ref.id) for ref in refs)
        assert sorted(await kept_numbers(buffer)) == list(range(1_500))


async def outcome(buffer: Buffer) -> tuple[list[int], int]:
    """Numbers still there (receipted ones included), and events accounted as damaged."""
    report = await buffer.verify()
    # a receipted frame's bytes are not read again until a region asks for them
    assert [p for p in report.problems if "another digest" not in p] == []
    lane = (await buffer.stats()).lane("normal")
    assert lane.ledger.balanced
    return sorted(await kept_numbers(buffer)), lane.ledger.gapped.get(GapReason.DAMAGED, 0)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("page_bytes")
async def test_a_flipped_bit_costs_at_most_one_frame_or_row_and_is_accounted_for(
    tmp_path: Path,
) -> None:
    left = await leave_behind(tmp_path)
    chance = random.Random(2026)
    seen: Counter[str] = Counter()
    for number in range(FLIPS):
        shop = await reopen(left, tmp_path / "now")
        victim = shop.path if number % 2 else shop.path.with_name("buffer.db-wal")
        data = bytearray(victim.read_bytes())
        place, bit = chance.randrange(len(data)), chance.randrange(8)
        data[place] ^= 1 << bit
        victim.write_bytes(data)
        what = f"flip {number}: bit {bit} of byte {place} of {victim.name}"
        async with shop.buffer() as buffer:
            for ref in await all_pending(buffer):
                await buffer.load(ref.id)  # finds damaged bodies: they become gaps
            numbers, damaged = await outcome(buffer)
            report = (await buffer.stats()).damage
        assert len(set(numbers)) == len(numbers), what
        assert set(numbers) <= set(range(1_500)), what
        lost = 1_500 - len(numbers)
        receipted_lost = sum(1 for n in range(300) if n not in set(numbers))
        assert lost <= MAX_ROW_LOSS, f"{what} lost {lost}: {report}"
        assert damaged >= lost - receipted_lost, f"{what} lost {lost}, {damaged} accounted"
        seen["salvaged" if report else "opened"] += 1
        seen["lost"] += lost > 0
        seen["overcounted"] += damaged > lost
    assert seen["salvaged"] > 0
    assert seen["lost"] > 0


async def test_first_page_and_whole_pages_of_rubbish_are_survived(
    tmp_path: Path, page_bytes: int
) -> None:
    left = await leave_behind(tmp_path, clean=True)
    chance = random.Random(3)
    for page in (0, 1, 5, 9, 30):
        shop = await reopen(left, tmp_path / "now")
        data = bytearray(shop.path.read_bytes())
        data[page * page_bytes : (page + 1) * page_bytes] = chance.randbytes(page_bytes)
        shop.path.write_bytes(data)
        async with shop.buffer() as buffer:
            for ref in await all_pending(buffer):
                await buffer.load(ref.id)
            numbers, damaged = await outcome(buffer)
        assert len(set(numbers)) == len(numbers)
        waiting = [number for number in numbers if number >= 300]
        assert len(waiting) >= 1_200 - 3 * MAX_ROW_LOSS
        assert len(waiting) + damaged >= 1_200


async def test_events_lost_from_the_rows_come_back_as_delivered_when_the_region_has_them(
    tmp_path: Path,
) -> None:
    left = await leave_behind(tmp_path, clean=True)
    shop = await reopen(left, tmp_path / "now")
    shop.path.write_bytes(shop.path.read_bytes()[: 6 * PAGE_BYTES])  # frames and rows are cut off
    async with shop.buffer() as buffer:
        lane = (await buffer.stats()).lane("normal")
        assert lane.ledger.balanced
        assert lane.ledger.gapped[GapReason.DAMAGED] >= 1_000
        (question,) = [q for q in await buffer.streams() if q.epoch != buffer.epoch]
        state = StreamState(question.epoch, "normal", ((1, 1_200),), b"")
        outcome = await buffer.apply_resume(answer(state))
        assert outcome.covered_frames + outcome.resealed_frames > 0
        lane = (await buffer.stats()).lane("normal")
        assert lane.ledger.balanced
        assert lane.ledger.delivered >= 1_200
        await assert_sound(buffer)


async def test_damaged_file_is_kept_aside_within_its_share(tmp_path: Path) -> None:
    left = await leave_behind(tmp_path, clean=True)
    shop = await reopen(left, tmp_path / "now")
    data = bytearray(shop.path.read_bytes())
    data[:PAGE_BYTES] = bytes(PAGE_BYTES)
    shop.path.write_bytes(data)
    async with shop.buffer() as buffer:
        damage = (await buffer.stats()).damage
        assert damage is not None
        assert shop.path.with_name(damage.kept_as).read_bytes() == bytes(data)
    shop.path.write_bytes(bytes(PAGE_BYTES) + shop.path.read_bytes()[PAGE_BYTES:])
    async with shop.buffer(quarantine_share=0.0) as buffer:
        damage = (await buffer.stats()).damage
        assert damage is not None
        assert damage.kept_as == ""
        assert not list(shop.path.parent.glob("*.damaged-*"))


@pytest.mark.parametrize("spoilt", ["rows", "heads"])
async def test_a_lane_of_which_only_a_broken_row_is_left_is_accounted_for(
    tmp_path: Path, spoilt: str
) -> None:
    # Nothing else knows of the lane: no frame, no stream, no other row.
    shop = Shop(tmp_path / "buffer.db")
    async with shop.buffer() as buffer:
        await buffer.accept(sales(8, lane="bulk"))
        await buffer.accept(sales(5, 8))
        epoch = buffer.epoch
    with closing(sqlite3.connect(shop.path)) as connection, connection:
        expression = (
            "substr(body, 1, 60) || zeroblob(length(body) - 60)"
            if spoilt == "rows"
            else "zeroblob(length(body))"
        )
        connection.execute(f"UPDATE staged SET body = {expression} WHERE id >> 56 = 3")
    async with shop.buffer() as buffer:
        stats = await buffer.stats()
        assert stats.damage is not None
        lost = stats.lane("bulk").ledger.gapped[GapReason.DAMAGED]
        assert lost == 8 if spoilt == "rows" else lost >= 8
        gaps = await all_pending(buffer, "bulk")
        assert [(gap.epoch, gap.first, gap.count) for gap in gaps] == [(epoch, 1, 0)]
        assert sorted(await kept_numbers(buffer)) == list(range(8, 13))
        await assert_sound(buffer)
