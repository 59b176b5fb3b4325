"""BOUNDED: files and queues stay within their bounds."""

from __future__ import annotations

from pathlib import Path

from whimbrel_sim.worlds.invariants.bounds import check_device, check_region
from whimbrel_sim.worlds.invariants.violation import Invariant
from worlds.committed import Reports
from worlds.virtual import in_virtual_time, tiny_world


@in_virtual_time
async def test_a_sound_world_breaks_nothing(tmp_path: Path) -> None:
    reports = Reports()
    async with tiny_world(tmp_path) as world:
        sizes = [check_device(world.devices[0], reports), check_region(world.regions[0], reports)]
    assert reports.found == []
    assert min(sizes) > 10_000


@in_virtual_time
async def test_a_buffer_beyond_its_cap_is_found(tmp_path: Path) -> None:
    reports = Reports()
    async with tiny_world(tmp_path) as world:
        device = world.devices[0]
        (device.folder / "more").write_bytes(bytes(device.max_bytes))
        check_device(device, reports)
    assert reports.invariants == [Invariant.BOUNDED]


@in_virtual_time
async def test_one_per_cent_beyond_it_is_allowed(tmp_path: Path) -> None:
    reports = Reports()
    async with tiny_world(tmp_path) as world:
        device = world.devices[0]
        more = device.folder / "more"
        room = int(device.max_bytes * 1.005) - check_device(device, reports)
        more.write_bytes(bytes(room))
        check_device(device, reports)
    assert reports.found == []


@in_virtual_time
async def test_a_journal_beyond_its_cap_is_found(tmp_path: Path) -> None:
    reports = Reports()
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        region.max_bytes = check_region(region, reports) // 2
        check_region(region, reports)
    assert reports.invariants == [Invariant.BOUNDED]


@in_virtual_time
async def test_a_queue_beyond_its_bound_is_found(tmp_path: Path) -> None:
    reports = Reports()
    async with tiny_world(tmp_path) as world:
        region = world.regions[0]
        assert region.aggregator is not None
        region.aggregator.ingest._queued_bytes = region.settings.ingest.queue_bytes + 1
        check_region(region, reports)
        region.aggregator.ingest._queued_bytes = 0
    assert reports.invariants == [Invariant.BOUNDED]
