"""The cap, what gives way, and a disk that is full."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from buffers.harness import (
    Shop,
    all_pending,
    assert_sound,
    kept_numbers,
    receipt_for,
    sale,
    sales,
)
from servers.missing import find_program
from whimbrel_agent.buffer.database import Database
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferFullError, GroupTooBigError, LaneConfig, Overflow
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import GapReason

CAP_BYTES = 2 * 1024 * 1024
REFUSE = {"normal": LaneConfig(overflow=Overflow.REFUSE)}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


def noisy(count: int, start: int, *, lane: str = "normal") -> list[Event]:
    """Events that hardly compress, so that a small buffer is full soon."""
    chance = random.Random(start)
    return [
        sale(number, lane=lane, note=chance.randbytes(150).hex())
        for number in range(start, start + count)
    ]


async def pour(buffer: Buffer, shop: Shop, groups: int, *, lane: str = "normal") -> int:
    """Accept groups of 100 and seal, watching the size; returns the events accepted."""
    accepted = 0
    for group in range(groups):
        accepted += len(await buffer.accept(noisy(100, 100 * group, lane=lane)))
        await buffer.seal_due(shop.clock.mono)
        stats = await buffer.stats()
        assert stats.size_bytes <= CAP_BYTES * 1.01
    return accepted


def free_by_count(database: Database) -> int:
    """Ask SQLite itself how many pages new rows may still take."""
    ask = database.connection.execute
    (count,), (free,) = ask("PRAGMA page_count").fetchone(), ask("PRAGMA freelist_count").fetchone()
    return int(database.limits.max_pages - count + free)


async def test_accepts_ask_for_the_pages_only_now_and_then(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        asked: list[str] = []
        buffer._state.database.connection.set_trace_callback(asked.append)
        for group in range(200):
            await buffer.accept(sales(10, 10 * group))
        assert 1 <= sum("page_count" in statement for statement in asked) <= 5


async def test_estimates_never_promise_a_page_that_is_not_free(shop: Shop) -> None:
    chance = random.Random(5)
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        database = buffer._state.database
        for group in range(150):
            events = noisy(chance.randrange(1, 100), 100 * group)
            keys = [b"%d" % event.data["number"] for event in events] if group % 3 else None
            await buffer.accept(events, keys=keys, checkpoint=("files", bytes(group)))
            count, free = database.pages_at_worst()
            assert database.limits.max_pages - count + free <= free_by_count(database)
            if chance.random() < 0.1:
                await buffer.seal_all()
                assert database.pages_at_worst() == database.pages()


async def test_drop_oldest_stays_under_the_cap_and_accounts_every_event(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        accepted = await pour(buffer, shop, 150)
        await buffer.seal_all()
        line = (await buffer.stats()).lane("normal").ledger
        assert line.accepted == accepted == 15_000
        assert line.gapped[GapReason.EVICTED] > 4_000
        assert line.balanced
        refs = await all_pending(buffer)
        gaps = [ref for ref in refs if ref.count == 0]
        assert len(gaps) == 1  # never published: they grow together
        assert gaps[0].span == line.gapped[GapReason.EVICTED]
        assert await kept_numbers(buffer) == list(range(gaps[0].span, 15_000))
        await assert_sound(buffer)


async def test_published_frames_are_evicted_one_gap_each(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        await pour(buffer, shop, 20)
        await buffer.seal_all()
        published = await all_pending(buffer)
        await buffer.load_to_send([published[-1]])
        await pour(buffer, shop, 150)
        gaps = {(r.first, r.span) for r in await all_pending(buffer) if r.count == 0}
        evicted = [(r.first, r.span) for r in published if (r.first, r.span) in gaps]
        assert evicted == [(r.first, r.span) for r in published][: len(evicted)]
        assert len(gaps) >= 1
        await assert_sound(buffer)


async def test_receipted_frames_give_way_first(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, retain_share=0.9) as buffer:
        await pour(buffer, shop, 20)
        await buffer.seal_all()
        await buffer.settle(receipt_for(await all_pending(buffer)))
        assert (await buffer.stats()).lane("normal").receipted_frames > 0
        groups = 0
        while (await buffer.stats()).lane("normal").receipted_frames and groups < 200:
            await buffer.accept(noisy(100, 10_000 + 100 * groups))
            await buffer.seal_due(shop.clock.mono)
            groups += 1
            line = (await buffer.stats()).lane("normal").ledger
            assert GapReason.EVICTED not in line.gapped
        assert groups < 200
        await assert_sound(buffer)


async def test_refusing_lane_tells_producers_no_and_takes_them_again_after_receipts(
    shop: Shop,
) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES, lanes=REFUSE) as buffer:
        with pytest.raises(BufferFullError, match="buffer is full"):
            await pour(buffer, shop, 150)
        line = (await buffer.stats()).lane("normal").ledger
        assert not line.gapped
        await buffer.seal_all()
        refs = await all_pending(buffer)
        for start in range(0, len(refs), 8):
            await buffer.settle(receipt_for(refs[start : start + 8]))
        await buffer.accept(sales(100))
        await assert_sound(buffer)


async def test_bulk_never_pushes_out_more_urgent_lanes(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        with pytest.raises(BufferFullError):
            await pour(buffer, shop, 150, lane="critical")
        kept = (await buffer.stats()).lane("critical").ledger
        with pytest.raises(BufferFullError):
            await buffer.accept(noisy(100, 0, lane="bulk"))
        assert (await buffer.stats()).lane("critical").ledger == kept


async def test_critical_pushes_out_bulk(shop: Shop) -> None:
    async with shop.buffer(max_bytes=CAP_BYTES) as buffer:
        await pour(buffer, shop, 100, lane="bulk")
        await pour(buffer, shop, 10, lane="critical")
        stats = await buffer.stats()
        assert stats.lane("bulk").ledger.gapped[GapReason.EVICTED] > 0
        assert stats.lane("critical").ledger.accepted == 1_000


async def test_gap_that_came_too_late_is_void_in_the_ledger(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
        await buffer.seal_all()
        (ref,) = await all_pending(buffer)
        await buffer.load_to_send([ref])
        assert await buffer.discard() == 10
        (gap,) = await all_pending(buffer)
        assert (gap.id, gap.first, gap.span, gap.count) == (ref.id, 1, 10, 0)
        line = (await buffer.stats()).lane("normal").ledger
        assert line.gapped == {GapReason.DISCARDED: 10}
        late = await buffer.settle(receipt_for([ref]))
        assert late.unmatched == 1  # the events' digest is not the gap's
        await buffer.settle(receipt_for([gap]))
        line = (await buffer.stats()).lane("normal").ledger
        assert (line.delivered, line.gapped) == (10, {})
        await assert_sound(buffer)


async def test_group_beyond_a_transaction_is_refused_whole(shop: Shop) -> None:
    big = [sale(number, note="x" * 60_000) for number in range(60)]
    async with shop.buffer() as buffer:
        with pytest.raises(GroupTooBigError):
            await buffer.accept(big)
        assert await kept_numbers(buffer) == []
        await buffer.accept(big[:10])
        await buffer.seal_all()
        assert await kept_numbers(buffer) == list(range(10))
        assert all(ref.size_bytes <= 120_000 for ref in await all_pending(buffer))


FULL_DISK = """
import asyncio, json, os, sys
from pathlib import Path
from buffers.harness import Shop, all_pending, receipt_for, sales
from whimbrel_agent.buffer.values import BufferFullError
sys.path.insert(0, str(Path(sys.argv[2])))
from test_capacity import noisy

async def main() -> None:
    place = Path(sys.argv[1])
    shop = Shop(place / "buffer.db")
    buffer = await shop.start(max_bytes=64 * 1024 * 1024, retain_share=0.0)
    accepted = refused = 0
    for group in range(2_000):
        try:
            accepted += len(await buffer.accept(noisy(100, 100 * group)))
            await buffer.seal_due(shop.clock.mono)
        except BufferFullError:
            refused += 1
            if refused == 1:  # somebody else takes the very last bytes too
                try:
                    with open(place / "other", "wb", buffering=0) as other:
                        while True:
                            other.write(bytes(4096))
                except OSError:
                    pass
            if refused > 3:
                break
    room = os.statvfs(place).f_bavail
    await buffer.close()  # a restart on the full disk
    buffer = await shop.start(max_bytes=64 * 1024 * 1024, retain_share=0.0)
    settled = 0
    while True:
        refs = (await all_pending(buffer))[:8]
        if not refs:
            await buffer.seal_all()
            refs = (await all_pending(buffer))[:8]
            if not refs:
                break
        settled += len((await buffer.settle(receipt_for(refs))).freed)
    again = 0
    for group in range(20):
        again += len(await buffer.accept(sales(100, group * 100)))
        await buffer.seal_all()
    report = await buffer.verify()
    line = (await buffer.stats()).lane("normal").ledger
    await buffer.close()
    buffer = await shop.start(max_bytes=64 * 1024 * 1024, retain_share=0.0)
    reopened = (await buffer.stats()).lane("normal").ledger
    await buffer.close()
    print(json.dumps({
        "accepted": accepted, "refused": refused, "room": room, "settled": settled,
        "again": again, "problems": report.problems, "balanced": line.balanced,
        "delivered": line.delivered, "same": reopened.accepted == line.accepted,
    }))

asyncio.run(main())
"""


def test_full_disk_refuses_producers_lets_receipts_free_space_and_recovers(
    tmp_path: Path,
) -> None:
    find_program("unshare")
    script = tmp_path / "full_disk.py"
    script.write_text(FULL_DISK)
    place = tmp_path / "small"
    place.mkdir()
    tests = Path(__file__).parents[2]
    command = (
        f"mount -t tmpfs -o size=6m none {place} && "
        f"PYTHONPATH={tests} exec {sys.executable} {script} {place} {Path(__file__).parent}"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["refused"] > 0
    assert result["room"] == 0
    assert result["settled"] > 0
    assert result["again"] == 2_000
    assert result["delivered"] == result["accepted"]
    assert result["problems"] == []
    assert result["balanced"]
    assert result["same"]
