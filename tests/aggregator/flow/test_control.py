from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from committed.journal import Committer, events
from committed.sinks import (
    LoopClock,
    ScriptedSink,
    forwarder_over,
    hang,
    loop_journal,
    running,
    take,
)
from regions.frames import Device
from regions.ingesting import direct_journal, enrol
from whimbrel_aggregator.config import IngestConfig, ReturningConfig
from whimbrel_aggregator.flow import control
from whimbrel_aggregator.flow.control import FlowControl
from whimbrel_aggregator.forward.status import Backlog
from whimbrel_aggregator.journal.port import JournalFailedError, PartitionKey
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_protocol.messages import Detail
from whimbrel_protocol.names import Address
from worlds.virtual import in_virtual_time

MIB = 2**20


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = 1_795_341_600_000_000_000
        self.boot_id = "test"

    def wall_ns(self) -> int:
        return self.now_ns

    def mono_ns(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


@dataclass
class Route:
    """A forwarder with a backlog of its own making."""

    name: str = "warehouse"
    max_backlog_bytes: int | None = 100 * MIB
    backlog: Backlog = field(default_factory=Backlog)
    store: str = "store-1"
    asked: Detail = Detail.FULL

    def selects(self, partition: PartitionKey) -> bool:
        return partition.store == self.store

    def behind(self, size_bytes: int) -> None:
        self.backlog = Backlog(1, size_bytes, 1.0)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    opened = await direct_journal(tmp_path / "journal.db")
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def route() -> Route:
    return Route()


@pytest.fixture
def flow(journal: SqliteJournal, clock: HandClock, route: Route) -> FlowControl:
    return FlowControl(
        IngestConfig(),
        journal=journal,
        clock=clock,
        queued_bytes=lambda: 0,
        routes=lambda: [route],
        returning=ReturningConfig(share_per_s=0.1, least_per_s=2),
    )


def at(store: str = "store-1", device: str = "till-1") -> Address:
    return Address(tenant="acme", region="eu-1", store=store, device=device)


async def test_a_route_that_is_too_far_behind_takes_the_credit_of_its_own_stores_only(
    flow: FlowControl, route: Route, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    route.behind(100 * MIB)
    with caplog.at_level(logging.WARNING):
        await flow.look()
    held = flow.grant(at())
    assert held.size_bytes == 0
    assert held.reason.startswith("forwarder warehouse is 104857600 bytes behind")
    assert flow.grant(at("store-2")).size_bytes == MIB
    assert flow.figures().holding == {"warehouse": held.reason}
    assert "a forwarder holds devices back" in caplog.text
    route.behind(60 * MIB)
    clock.pass_s(1)
    await flow.look()
    assert flow.grant(at()).size_bytes == 0
    route.behind(40 * MIB)
    clock.pass_s(1)
    await flow.look()
    assert flow.grant(at()).size_bytes == MIB


async def test_devices_are_asked_for_what_all_routes_of_theirs_can_do_without(
    journal: SqliteJournal, clock: HandClock
) -> None:
    slow, fast = Route(name="slow", asked=Detail.SUMMARISED), Route(name="fast")
    routes = [slow]
    flow = FlowControl(
        IngestConfig(), journal=journal, clock=clock, queued_bytes=lambda: 0, routes=lambda: routes
    )
    await flow.look()
    assert flow.credit(flow.grant(at())).detail is Detail.SUMMARISED
    assert flow.credit(flow.grant(at("store-2"))).detail is Detail.FULL  # for the journal alone
    routes.append(fast)
    assert flow.credit(flow.grant(at())).detail is Detail.FULL
    fast.asked = Detail.SAMPLED
    assert flow.credit(flow.grant(at())).detail is Detail.SAMPLED


async def test_those_who_were_told_nothing_are_told_again_at_the_rate_of_a_return(
    flow: FlowControl, route: Route, clock: HandClock
) -> None:
    route.behind(100 * MIB)
    await flow.look()
    for number in range(10):
        flow.grant(at(device=f"till-{number}"))
    assert flow.fed_again(1.0) == []
    assert flow.figures().starved == 10
    route.behind(0)
    clock.pass_s(1)
    await flow.look()
    told = []
    for _ in range(5):
        fed = flow.fed_again(1.0)
        assert len(fed) == 2
        told += [address.device for address, _ in fed]
    assert sorted(told) == [f"till-{number}" for number in range(10)]
    assert flow.fed_again(1.0) == []


async def test_starved_devices_that_are_remembered_are_bounded(
    flow: FlowControl, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_STARVED", 5)
    route.behind(100 * MIB)
    await flow.look()
    for number in range(20):
        flow.grant(at(device=f"till-{number}"))
    assert flow.figures().starved == 5


async def test_a_journal_that_does_not_say_its_size_gives_no_credit(
    flow: FlowControl, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise JournalFailedError("the disk is gone")

    monkeypatch.setattr(journal, "size", fail)
    await flow.look()
    grant = flow.grant(at())
    assert grant.size_bytes == 0
    assert "the disk is gone" in grant.reason
    assert grant.reason == flow.no_room


async def test_the_rate_of_a_return_follows_the_number_of_enrolled_devices(
    flow: FlowControl, journal: SqliteJournal
) -> None:
    assert flow.figures().returning.starts_per_s == 2
    for number in range(50):
        await enrol(journal, Device(f"till-{number}"))
    await flow.fleet()
    assert flow.figures().returning.starts_per_s == 5


@in_virtual_time
async def test_credit_goes_with_a_sink_that_hangs_and_comes_back_with_it(tmp_path: Path) -> None:
    async with loop_journal(tmp_path) as journal:
        sink = ScriptedSink()
        forwarder = forwarder_over(journal, "warehouse", sink, hang_s=5)
        forwarder.max_backlog_bytes = 20_000
        region = FlowControl(
            IngestConfig(),
            journal=journal,
            clock=LoopClock(),
            queued_bytes=lambda: 0,
            routes=lambda: [forwarder],
        )
        committer = Committer(journal)
        sent = 0

        async def send_for(seconds: int) -> None:
            """A device sends a frame every second while it has credit."""
            nonlocal sent
            for _ in range(seconds):
                await region.look()
                if region.grant(at()).size_bytes:
                    await committer.commit([events(sent, 50)])
                    sent += 50
                await asyncio.sleep(1)

        async with running(forwarder):
            await send_for(30)
            assert sent == 1500
            sink.behave = hang
            await send_for(120)
            held = sent
            assert "forwarder warehouse is" in region.grant(at()).reason
            assert 10_000 < forwarder.backlog.size_bytes < 25_000
            await send_for(120)
            assert sent == held  # bounded, however long it lasts
            sink.behave = take
            await send_for(120)
            assert sent > held + 2_000
            await asyncio.sleep(30)
        assert sink.numbers == list(range(sent))
