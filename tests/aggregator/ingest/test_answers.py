"""What devices are told of credit, limits and returns; see test_pipeline.py for receipts."""

from __future__ import annotations

import random
from pathlib import Path

from regions.frames import Device
from regions.ingesting import Region, of_type, region_in
from whimbrel_aggregator.config import ReturningConfig
from whimbrel_aggregator.flow.limits import Limit, Limits
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.journal.port import RetentionPolicy
from whimbrel_protocol.envelope import seal_message
from whimbrel_protocol.messages import Hold, Message, Receipt, Resume, ResumeAnswer
from whimbrel_protocol.topics import resume_topic

TILL = Device()
OTHER = Device("till-2", store="store-2")


def large(device: Device, first: int) -> bytes:
    return device.frame(first, content=random.Random(first).randbytes(50_000))


async def asked(region: Region, device: Device) -> Message:
    """What a device that asks to resume is told."""
    payload = seal_message(Resume(device.address, b"n" * 16, 5, ()), device.key)
    [told] = await region.take(Delivery(resume_topic(device.address), payload, False, 7))
    return told


async def test_over_its_rate_a_device_is_told_to_wait_before_its_receipt_without_credit(
    tmp_path: Path,
) -> None:
    limits = Limits([Limit(per="store", bytes_per_s=1024, burst_bytes=60_000)])
    async with region_in(tmp_path, TILL, OTHER, limits=limits) as region:
        [receipt] = await region.frames(TILL, large(TILL, 1))
        assert isinstance(receipt, Receipt)
        assert 0 < receipt.credit.size_bytes < 10_000
        hold, receipt = await region.frames(TILL, large(TILL, 6))
        assert isinstance(hold, Hold)
        assert isinstance(receipt, Receipt)
        assert (receipt.credit.size_bytes, len(receipt.entries)) == (0, 1)
        assert hold.reason == "store acme/store-1 is at its rate of 1024 bytes/s"
        assert 60 <= hold.retry_s <= 80
        assert isinstance(await asked(region, TILL), Hold)
        # another store is not concerned
        [receipt] = await region.frames(OTHER, large(OTHER, 1))
        assert isinstance(receipt, Receipt)
        assert region.counters["holds_limited"] == 2


async def test_far_over_its_rate_frames_are_dropped_and_the_device_is_told(tmp_path: Path) -> None:
    limits = Limits([Limit(per="tenant", bytes_per_s=1024, burst_bytes=60_000)])
    async with region_in(tmp_path, TILL, limits=limits) as region:
        frames = [large(TILL, first) for first in range(1, 30, 5)]
        told = await region.frames(TILL, *frames)
        [receipt] = of_type(told, Receipt)
        assert len(receipt.entries) == 3  # 60,000 bytes at once, and as many overdrawn
        assert region.counters["dropped_over_limit"] == 3
        assert len(of_type(told, Hold)) == 2
        assert len(await region.kept()) == 3


async def test_past_a_quota_that_holds_nothing_is_taken_until_the_month_ends(
    tmp_path: Path,
) -> None:
    limits = Limits([Limit(per="device", monthly_events=7, over="hold")])
    async with region_in(tmp_path, TILL, limits=limits) as region:
        assert len(await region.settle(TILL, TILL.frame(1), TILL.frame(6))) == 2
        [hold] = await region.frames(TILL, TILL.frame(11))
        assert isinstance(hold, Hold)
        assert "is used up (10 of 7 events)" in hold.reason
        assert hold.retry_s == 900


async def test_past_a_quota_that_slows_single_frames_still_come_through(tmp_path: Path) -> None:
    limits = Limits([Limit(per="device", monthly_bytes=1)])
    async with region_in(tmp_path, TILL, limits=limits) as region:
        for first in (1, 6):
            [receipt] = await region.frames(TILL, TILL.frame(first))
            assert isinstance(receipt, Receipt)
            assert (receipt.credit.size_bytes, len(receipt.entries)) == (0, 1)


async def test_only_what_is_committed_counts_towards_a_quota(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL) as region:
        frame = TILL.frame(1)
        await region.frames(TILL, frame, frame)
        await region.frames(TILL, frame)
        used = region.flow.book.of(("acme", "store-1", "till-1"))
        assert (used.frames, used.events, used.size_bytes) == (1, 5, len(frame))


async def test_of_many_that_return_at_once_some_are_told_when_to_start(tmp_path: Path) -> None:
    devices = [Device(f"till-{number}") for number in range(40)]
    async with region_in(tmp_path, *devices, returning=ReturningConfig(least_per_s=10)) as region:
        told = [await asked(region, device) for device in devices]
        holds = of_type(told, Hold)
        assert len(of_type(told, ResumeAnswer)) + len(holds) == 40
        assert 20 < len(holds) <= 30
        assert {1, 2} <= {hold.retry_s for hold in holds} <= {1, 2, 3}
        assert "many devices come back at once" in holds[0].reason
        assert region.counters["starts_delayed"] == len(holds)


async def test_one_that_delivers_is_not_returning(tmp_path: Path) -> None:
    devices = [Device(f"till-{number}") for number in range(30)]
    async with region_in(tmp_path, *devices, returning=ReturningConfig(least_per_s=1)) as region:
        await region.frames(devices[0], devices[0].frame(1))
        for device in devices[1:]:
            await asked(region, device)
        assert isinstance(await asked(region, devices[0]), ResumeAnswer)
        assert isinstance(await asked(region, devices[9]), Hold)


async def test_a_device_without_credit_is_told_when_there_is_some_again(tmp_path: Path) -> None:
    async with region_in(tmp_path, TILL, max_bytes=4 * 2**20) as region:
        for first in range(1, 500, 5):
            told = of_type(await region.frames(TILL, large(TILL, first)), Receipt)
            if not all(receipt.credit.size_bytes for receipt in told):
                break
        _, answerer = region.ingest()
        await answerer.announce(1.0)
        assert region.counters["credits_announced"] == 0
        region.flow._looked_ns = None
        await region.journal.retain(RetentionPolicy(keep_bytes=2**20), 2**62)
        await region.journal.checkpoint()
        await answerer.announce(1.0)
        _, receipt = region.answers[-1]
        assert isinstance(receipt, Receipt)
        assert (receipt.entries, receipt.credit.size_bytes > 0) == ((), True)
        assert region.counters["credits_announced"] == 1
