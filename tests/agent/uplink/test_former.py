"""Uplinks to regions that a device has left: when they live, and what is said of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buffers.harness import ADDRESS, Shop, answer, receipt_for, sales
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.uplink.former import ASK_AGAIN_S, LOOK_S, TURN_S, FormerRegions
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_protocol.messages import StreamState
from whimbrel_protocol.names import Address
from worlds.virtual import in_virtual_time

HOME = replace(ADDRESS, region="us-1")
OTHER = replace(ADDRESS, store="store-13")


class FakeUplink:
    """Stands in for a session: a test says when its region answers and takes everything."""

    def __init__(self, address: Address, made: list[FakeUplink]) -> None:
        self.address = address
        self.counts: dict[str, int] = {}
        self.plan: RadioPlan | None = None
        self.keepalive_s: int | None = None
        self.told = 0
        self.running = False
        made.append(self)

    def use_radio(self, plan: RadioPlan) -> None:
        self.plan = plan

    def use_keepalive(self, keepalive_s: int) -> None:
        self.keepalive_s = keepalive_s

    def network_returned(self) -> None:
        self.told += 1

    def frames_sealed(self) -> None:
        """Nothing reads."""

    def figures(self) -> Any:
        return SimpleNamespace(counts=self.counts, doing="asks")

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False


async def moved(shop: Shop, *addresses: Address) -> Buffer:
    """A buffer with a frame for each former address, open at home."""
    for address in addresses:
        shop.address = address
        async with shop.buffer() as buffer:
            await buffer.accept(sales(3))
            await buffer.seal_all()
    shop.address = HOME
    return await shop.start()


async def take_all(buffer: Buffer, address: Address) -> None:
    """Answer and settle as an address's region would."""
    questions = await buffer.streams(address)
    states = [StreamState(one.epoch, one.lane, (), b"") for one in questions]
    await buffer.apply_resume(replace(answer(*states), address=address))
    frames = await buffer.pending("normal", 0, 10, address)
    await buffer.settle(replace(receipt_for(frames), address=address))


def watched(buffer: Buffer, made: list[FakeUplink], region: str = "eu-1") -> FormerRegions:
    make: Callable[[Address], Any] = lambda address: FakeUplink(address, made)  # noqa: E731
    return FormerRegions(buffer, {region: make})


@in_virtual_time
async def _lives_as_long_as_something_waits(folder: Path) -> None:
    buffer, made = await moved(Shop(folder / "buffer.db"), ADDRESS), list[FakeUplink]()
    regions = watched(buffer, made)
    plan = RadioPlan(4, stay_connected=False)
    regions.use_radio(plan)
    regions.use_keepalive(300)
    task = asyncio.create_task(regions.run())
    await asyncio.sleep(10 * LOOK_S)
    (uplink,) = made
    assert (uplink.running, uplink.plan, uplink.keepalive_s) == (True, plan, 300)
    assert [(one.address, one.doing) for one in await regions.figures()] == [(ADDRESS, "asks")]
    regions.network_returned()
    assert uplink.told == 1
    await take_all(buffer, ADDRESS)
    uplink.counts["resumes_applied"] = 1
    await asyncio.sleep(2 * LOOK_S)
    assert not uplink.running
    assert await regions.figures() == []
    # its frames are still kept: the region is asked again, and only then
    await asyncio.sleep(ASK_AGAIN_S - 5 * LOOK_S)
    assert len(made) == 1
    await asyncio.sleep(10 * LOOK_S)
    assert (len(made), made[1].running) == (2, True)
    task.cancel()
    await asyncio.wait([task])
    assert not made[1].running
    await buffer.close()


@in_virtual_time
async def _addresses_take_turns(folder: Path) -> None:
    buffer, made = await moved(Shop(folder / "buffer.db"), ADDRESS, OTHER), list[FakeUplink]()
    task = asyncio.create_task(watched(buffer, made).run())
    await asyncio.sleep(3 * TURN_S + 4 * LOOK_S)
    assert [one.address for one in made] == [ADDRESS, OTHER, ADDRESS, OTHER]
    assert [one.running for one in made] == [False, False, False, True]
    task.cancel()
    await asyncio.wait([task])
    await buffer.close()


@in_virtual_time
async def _nobody_is_asked_for_nothing(folder: Path) -> None:
    buffer, made = await moved(Shop(folder / "buffer.db")), list[FakeUplink]()
    await watched(buffer, made).run()
    assert made == []
    await buffer.close()


def test_an_uplink_lives_as_long_as_something_waits_and_comes_back_to_ask(tmp_path: Path) -> None:
    _lives_as_long_as_something_waits(tmp_path)


def test_addresses_of_a_region_that_does_not_answer_take_turns(tmp_path: Path) -> None:
    _addresses_take_turns(tmp_path)


def test_a_device_that_owes_nothing_asks_nobody(tmp_path: Path) -> None:
    _nobody_is_asked_for_nothing(tmp_path)


async def test_a_region_that_no_setting_names_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer, made = await moved(Shop(tmp_path / "buffer.db"), ADDRESS), list[FakeUplink]()
    regions = watched(buffer, made, "eu-9")
    await regions.run()
    assert made == []
    assert "eu-1 gets nothing more: name it under [former_regions]" in caplog.text
    (figures,) = await regions.figures()
    assert (figures.address, figures.waiting) == (ADDRESS, 1)
    assert "eu-1 is not known" in figures.doing
    await buffer.close()
