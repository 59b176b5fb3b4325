"""The sealing task over a real buffer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from buffers.harness import answer
from servers.waiting import eventually
from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.sealing import SealResult
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.teaching import Dictionaries
from whimbrel_agent.buffer.values import (
    BufferConfig,
    BufferFullError,
    LaneConfig,
    Overflow,
)
from whimbrel_agent.clock import SystemClock
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.sealing import SealingTask
from whimbrel_agent.uplink.outlook import Outlook
from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.messages import Detail
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
EVENT = Event(type="t", source="s", time_ns=1, data={"n": 1})


class Told:
    """Counts frames told of; ``waits`` is what was told of events, while it rests."""

    def __init__(self, *, rests: bool = False) -> None:
        self.sealed: list[int] = []
        self.rests = rests
        self.waits: list[tuple[tuple[Waiting, ...], bool]] = []
        self.can_send_now: Sequence[bool] = (True,)
        self.asked = Detail.FULL

    @property
    def outlook(self) -> Outlook:
        return Outlook(self.can_send_now[0], self.asked)

    def frames_sealed(self, *, urgent: bool) -> None:
        self.sealed.append(1)

    def events_wait(self, waiting: tuple[Waiting, ...], *, came: bool) -> None:
        self.waits.append((waiting, came))


@asynccontextmanager
async def sealing_buffer(
    folder: Path,
    linger_s: float = 0,
    *,
    rests: bool = False,
    lanes: dict[str, LaneConfig] | None = None,
    can_send: Sequence[bool] = (True,),
) -> AsyncIterator[tuple[Buffer, Told]]:
    runner = ThreadRunner()
    lanes = lanes or {"normal": LaneConfig(linger_s=linger_s, batch_events=10)}
    buffer = await Buffer.open(
        BufferConfig(path=folder / "buffer.db", lanes=lanes),
        ADDRESS,
        PrivateKey(b"d" * 32),
        clock=SystemClock(),
        random=random.Random(1),
        runner=runner,
    )
    told = Told(rests=rests)
    told.can_send_now = can_send
    task = SealingTask(buffer, SystemClock(), told)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(task.run())
        yield buffer, told
        running.cancel()
    await buffer.close()
    await runner.close()


async def test_events_are_sealed_when_they_have_lingered(tmp_path: Path) -> None:
    async with sealing_buffer(tmp_path, 0.05) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
        assert len(await buffer.pending("normal", 0, 10)) == 1


async def test_a_full_batch_is_sealed_without_lingering(tmp_path: Path) -> None:
    async with sealing_buffer(tmp_path, 3600) as (buffer, told):
        await buffer.accept([EVENT] * 9)
        await buffer.accept([EVENT])
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
        assert [f.count for f in await buffer.pending("normal", 0, 10)] == [10]


async def test_a_full_disk_does_not_end_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_agent.sealing.RETRY_FULL_NS", 1_000)
    original = Buffer.seal_due
    failed: list[int] = []

    async def full_once(buffer: Buffer, now_mono_ns: int) -> SealResult:
        if not failed:
            failed.append(1)
            raise BufferFullError("no space left on device")
        return await original(buffer, now_mono_ns)

    monkeypatch.setattr(Buffer, "seal_due", full_once)
    async with sealing_buffer(tmp_path, 0.0, rests=True) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
    assert failed
    assert all(not waiting for waiting, _ in told.waits)  # no session of the radio would help it


async def test_what_waits_is_nobodys_business_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Buffer.seal_due
    full = asyncio.Event()

    async def full_later(buffer: Buffer, now_mono_ns: int) -> SealResult:
        if full.is_set():
            raise BufferFullError("no space left on device")
        return await original(buffer, now_mono_ns)

    monkeypatch.setattr(Buffer, "seal_due", full_later)
    async with sealing_buffer(tmp_path, 3600.0, rests=True) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: any(w for w, _ in told.waits), timeout_s=20, what="a wait")
        full.set()
        await buffer.accept([EVENT])
        await eventually(lambda: not told.waits[-1][0], timeout_s=20, what="no wait")


async def test_what_is_accepted_and_what_is_due_does_not_wait_for_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    async def endless(_dictionaries: Dictionaries) -> bool:
        steps.append(1)
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(Dictionaries, "learn", endless)
    async with sealing_buffer(tmp_path, 0.05) as (buffer, told):
        await eventually(lambda: len(steps) > 3, timeout_s=20, what="a trial")
        await buffer.accept([EVENT])
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
        before = len(steps)
        await eventually(lambda: len(steps) > before, timeout_s=20, what="the rest of the trial")


async def test_while_the_radio_rests_it_tells_what_waits_and_until_when(tmp_path: Path) -> None:
    async with sealing_buffer(tmp_path, 60.0, rests=True) as (buffer, told):
        begun_s = SystemClock().mono_ns() / 1e9
        await buffer.accept([EVENT] * 2)
        await eventually(
            lambda: any(came for waiting, came in told.waits if waiting),
            timeout_s=20, what="word of what waits",
        )  # fmt: skip
        (waiting,) = told.waits[-1][0]
        assert (waiting.allowed_s, waiting.binding) == (60.0, False)
        assert 0 <= waiting.deadline_s - begun_s - 60.0 < 20
        assert not told.sealed


async def test_while_the_radio_is_on_nobody_is_told(tmp_path: Path) -> None:
    async with sealing_buffer(tmp_path, 0.05) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
        assert told.waits == []


async def test_the_buffer_is_told_what_detail_the_region_asks_for(tmp_path: Path) -> None:
    async with sealing_buffer(tmp_path, lanes={"bulk": LaneConfig(overflow=Overflow.THIN)}) as (
        buffer,
        told,
    ):
        told.asked = Detail.SUMMARISED
        await buffer.accept([replace(EVENT, lane="bulk")] * 10)
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
        assert [f.count for f in await buffer.pending("bulk", 0, 10)] == [1]


async def test_the_buffer_is_told_before_each_look_whether_frames_can_leave(tmp_path: Path) -> None:
    lanes = {"normal": LaneConfig(linger_s=0.02, batch_events=10, durability_s=0.1)}
    async with sealing_buffer(tmp_path, lanes=lanes, can_send=[False]) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: buffer.commits > 2, timeout_s=20, what="a row on the disk")
        assert not told.sealed
        assert await buffer.pending("normal", 0, 10) == []
        await buffer.accept([EVENT] * 5)
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a good frame")


async def test_it_looks_again_when_the_region_has_answered(tmp_path: Path) -> None:
    lanes = {"normal": LaneConfig(linger_s=0.02, batch_events=10, durability_s=0.1)}
    can_send = [False]
    async with sealing_buffer(tmp_path, lanes=lanes, can_send=can_send) as (buffer, told):
        await buffer.accept([EVENT])
        await eventually(lambda: buffer.commits > 2, timeout_s=20, what="a row on the disk")
        can_send[0] = True
        await buffer.apply_resume(answer())
        await eventually(lambda: bool(told.sealed), timeout_s=20, what="a frame")
