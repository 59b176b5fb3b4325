from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from committed.journal import Committer, address, event, events
from committed.receiver import Receiver
from servers.waiting import POLL_INTERVAL_S, eventually
from whimbrel_aggregator.clock import SystemClock
from whimbrel_aggregator.config import (
    FilesSinkConfig,
    ForwardConfig,
    Selection,
    WebhookSinkConfig,
)
from whimbrel_aggregator.forward import policy
from whimbrel_aggregator.forward.breaker import BreakerState
from whimbrel_aggregator.forward.policy import MAX_REFUSED_IN_A_ROW
from whimbrel_aggregator.forward.running import Forwarders
from whimbrel_aggregator.forward.sinks.ndjson import NdjsonFolder
from whimbrel_aggregator.forward.skipped import skipped_path
from whimbrel_aggregator.forward.status import ForwarderStatus
from whimbrel_aggregator.journal.port import Cursor, PartitionKey
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.reading import EventReader
from whimbrel_protocol.errors import FieldError

STORE_1 = PartitionKey("acme", "store-1")
TIMEOUT_S = 20.0


class Region:
    """A journal with forwarders over it."""

    def __init__(self, journal: SqliteJournal, reader: EventReader, runner: ThreadRunner) -> None:
        self.journal = journal
        self._reader = reader
        self._runner = runner
        self.forwarders = self._make(())

    def _make(self, configs: Sequence[ForwardConfig]) -> Forwarders:
        return Forwarders(
            configs,
            journal=self.journal,
            reader=self._reader,
            runner_for=ThreadRunner,
            clock=SystemClock(),
            random=random.Random(1),
            skipped=skipped_path(self.journal.path),
        )

    @asynccontextmanager
    async def forwarding(self, *configs: ForwardConfig) -> AsyncIterator[None]:
        self.forwarders = self._make(configs)
        task = asyncio.get_running_loop().create_task(self.forwarders.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.forwarders.close()

    def status(self, name: str) -> ForwarderStatus:
        return next(one for one in self.forwarders.statuses() if one.name == name)

    async def cursor_reaches(self, name: str, partition: PartitionKey, offset: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                if (await self.journal.cursor(name, partition)).offset >= offset:
                    return
                await asyncio.sleep(POLL_INTERVAL_S)

    async def reached(self, name: str, state: str) -> ForwarderStatus:
        await eventually(
            lambda: self.status(name).state == state, timeout_s=TIMEOUT_S, what=f"{name} {state}"
        )
        return self.status(name)


@pytest.fixture
def region(journal: SqliteJournal, reader: EventReader, runner: ThreadRunner) -> Region:
    return Region(journal, reader, runner)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


def files(folder: Path, **settings: object) -> ForwardConfig:
    return ForwardConfig(name="files", sink=FilesSinkConfig(dir=folder), **settings)  # type: ignore[arg-type]


def hook(receiver: Receiver, *, batch_events: int = 50, **settings: object) -> ForwardConfig:
    sink = WebhookSinkConfig(url=receiver.url, batch_events=batch_events, timeout_s=0.5)
    return ForwardConfig(name="hook", sink=sink, **settings)  # type: ignore[arg-type]


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("*.ndjson"))
        for line in path.read_text().splitlines()
    ]


def received(receiver: Receiver) -> list[int]:
    return [one["data"]["number"] for one in receiver.accepted]


async def test_everything_committed_before_and_after_the_start_is_forwarded(
    region: Region, committer: Committer, tmp_path: Path
) -> None:
    await committer.commit([events(1, 300), events(301, 300)])
    async with region.forwarding(files(tmp_path / "out")):
        await committer.commit([events(601, 100)])
        await committer.commit([events(1, 50)], address("store-2"))
        await eventually(
            lambda: len(lines_of(tmp_path / "out")) == 750, timeout_s=TIMEOUT_S, what="750 lines"
        )
    lines = lines_of(tmp_path / "out")
    first = [line["data"]["number"] for line in lines if line["store"] == "store-1"]  # type: ignore[index]
    assert first == list(range(1, 701))


async def test_the_cursor_stands_where_the_sink_has_everything_before_it(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    await committer.commit([events(1, 30), events(31, 30), events(61, 30)])
    # the third batch of 25 ends inside the last frame
    receiver.behave = lambda _request, _events: (
        web.Response(status=500) if len(receiver.accepted) == 75 else None
    )
    async with region.forwarding(hook(receiver, batch_events=25)):
        await region.reached("hook", "retrying")
        cursor = await region.journal.cursor("hook", STORE_1)
    assert received(receiver) == list(range(1, 76))
    assert cursor.offset == 3


async def test_a_restarted_forwarder_goes_on_from_its_cursor(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    await committer.commit([events(1, 10)])
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.accepted) == 10, timeout_s=TIMEOUT_S, what="10")
        await region.cursor_reaches("hook", STORE_1, 2)
    await committer.commit([events(11, 10)])
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.accepted) == 20, timeout_s=TIMEOUT_S, what="20")
    assert received(receiver) == list(range(1, 21))


async def test_server_errors_time_outs_and_resets_are_retried_until_all_is_there(
    region: Region, committer: Committer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "RETRY_BASE_S", 0.02)
    await committer.commit([events(1, 20)])
    receiver.silent = 1
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.requests) == 1, timeout_s=TIMEOUT_S, what="silence")
        receiver.broken = 1
        await eventually(lambda: len(receiver.requests) >= 2, timeout_s=TIMEOUT_S, what="reset")
        await eventually(lambda: len(receiver.accepted) == 20, timeout_s=TIMEOUT_S, what="20")
        status = await region.reached("hook", "running")
    assert received(receiver) == list(range(1, 21))
    assert status.retries == 2
    assert status.delivered == 20


async def test_refused_events_are_parked_with_the_answer_and_the_rest_goes_on(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    poison = {7, 8, 33}

    def behave(_: web.Request, batch: list[dict[str, dict[str, int]]]) -> web.Response | None:
        if any(one["data"]["number"] in poison for one in batch):
            return web.Response(status=422, text="price must not be odd")
        return None

    receiver.behave = behave
    await committer.commit([events(1, 40), events(41, 10)])
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.accepted) == 47, timeout_s=TIMEOUT_S, what="47")
        await region.cursor_reaches("hook", STORE_1, 3)
    assert received(receiver) == [number for number in range(1, 51) if number not in poison]
    parked = await region.journal.parked("hook")
    assert [json.loads(one.body)["data"]["number"] for one in parked] == sorted(poison)
    assert [(one.offset, one.index) for one in parked] == [(1, 6), (1, 7), (1, 32)]
    assert {one.reason for one in parked} == {"422: price must not be odd"}


async def test_a_receiver_that_refuses_everything_stops_the_forwarder(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    receiver.behave = lambda _request, _events: web.Response(status=404)
    await committer.commit([events(1, 500)])
    async with region.forwarding(hook(receiver)):
        status = await region.reached("hook", "stopped")
    assert "refused" in status.reason
    assert len(await region.journal.parked("hook", limit=1_000)) == MAX_REFUSED_IN_A_ROW


async def test_a_dead_receiver_does_not_hold_other_forwarders_up(
    region: Region, committer: Committer, receiver: Receiver, tmp_path: Path
) -> None:
    await receiver.stop()
    async with region.forwarding(hook(receiver), files(tmp_path / "out")):
        await committer.commit([events(1, 20)])
        await region.reached("hook", "retrying")
        await committer.commit([events(21, 20)])
        await eventually(
            lambda: len(lines_of(tmp_path / "out")) == 40, timeout_s=TIMEOUT_S, what="40 lines"
        )
        assert region.status("hook").state == "retrying"


async def test_a_disk_that_hangs_holds_up_its_own_forwarder_only_and_is_found_again(
    region: Region, committer: Committer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    append = NdjsonFolder.append

    def stuck(self: NdjsonFolder, *given: Any, **named: Any) -> None:
        if self._folder.name == "stuck":
            answers.wait(TIMEOUT_S)
        append(self, *given, **named)

    monkeypatch.setattr(NdjsonFolder, "append", stuck)
    await committer.commit([events(1, 20)])
    sink = FilesSinkConfig(dir=tmp_path / "stuck")
    hung = ForwardConfig(name="hung", sink=sink, hang_s=0.2)
    async with region.forwarding(hung, files(tmp_path / "out")):
        status = await region.reached("hung", "retrying")
        assert "did not return within 0.2 s" in status.reason
        assert status.breaker is BreakerState.OPEN
        await committer.commit([events(21, 20)])
        await eventually(
            lambda: len(lines_of(tmp_path / "out")) == 40, timeout_s=TIMEOUT_S, what="40 lines"
        )
        answers.set()
        await eventually(
            lambda: len(lines_of(tmp_path / "stuck")) == 40, timeout_s=TIMEOUT_S, what="the rest"
        )
    # what the stuck call wrote in the end is not written again
    assert [line["position"] for line in lines_of(tmp_path / "stuck")] == [
        f"{offset}.{place}" for offset in (1, 2) for place in range(20)
    ]


async def test_a_cursor_of_another_generation_stops_the_forwarder_and_says_so(
    region: Region, committer: Committer, receiver: Receiver, tmp_path: Path
) -> None:
    await committer.commit([events(1, 5)])
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.accepted) == 5, timeout_s=TIMEOUT_S, what="5")
        await region.cursor_reaches("hook", STORE_1, 2)
    region.journal._storage.generation = b"restored"
    async with region.forwarding(hook(receiver), files(tmp_path / "out")):
        status = await region.reached("hook", "stopped")
        assert "generation" in status.reason
        await eventually(
            lambda: len(lines_of(tmp_path / "out")) == 5, timeout_s=TIMEOUT_S, what="5 lines"
        )
        assert len(receiver.accepted) == 5
        # the operator's explicit act, and it goes on without a restart
        await region.journal.rebind("hook")
        region.forwarders.wake()
        await region.reached("hook", "running")
        await committer.commit([events(6, 5)])
        await eventually(lambda: len(receiver.accepted) == 10, timeout_s=TIMEOUT_S, what="10")
    assert received(receiver) == list(range(1, 11))


async def test_detaching_a_running_forwarder_stops_it(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    async with region.forwarding(hook(receiver)):
        await region.reached("hook", "running")
        await region.journal.detach("hook")
        await committer.commit([events(1, 5)])
        status = await region.reached("hook", "stopped")
    assert "attach" in status.reason


async def test_only_what_is_selected_is_forwarded_and_cursors_pass_the_rest(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    mixed = [event(1, zone="front"), event(2, zone="back"), event(3), event(4, zone="front")]
    await committer.commit([mixed, [event(5, zone="back")]])
    await committer.commit([[event(6, zone="front")]], address("store-2"))
    await committer.commit([[event(7, zone="front", type="door")], [event(8, zone="front")]])
    select = Selection(stores=("store-1",), zones=("fr*",), types=("pos.*",))
    async with region.forwarding(hook(receiver, select=select)):
        await eventually(lambda: len(receiver.accepted) == 3, timeout_s=TIMEOUT_S, what="3")
        for partition, end in ((STORE_1, 5), (PartitionKey("acme", "store-2"), 2)):
            await region.cursor_reaches("hook", partition, end)
    assert received(receiver) == [1, 4, 8]


async def test_starting_at_the_newest_leaves_the_old_out(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    await committer.commit([events(1, 5)])
    async with region.forwarding(hook(receiver, start="newest")):
        await region.reached("hook", "running")
        await committer.commit([events(6, 5)])
        await region.cursor_reaches("hook", STORE_1, 3)
    assert received(receiver) == list(range(6, 11))
    assert await region.journal.cursor("hook", STORE_1) == Cursor(region.journal.generation, 3)


async def test_unreadable_frames_do_not_stop_a_forwarder(
    region: Region, committer: Committer, receiver: Receiver
) -> None:
    await committer.commit([events(1, 2)])
    await committer.commit([events(3, 2)], columns=b"\x10\x05bad")
    await committer.commit([events(5, 2)])
    async with region.forwarding(hook(receiver)):
        await eventually(lambda: len(receiver.accepted) == 4, timeout_s=TIMEOUT_S, what="4")
    assert received(receiver) == [1, 2, 5, 6]


def test_a_selection_that_can_match_nothing_is_refused_at_the_start(
    region: Region, tmp_path: Path
) -> None:
    with pytest.raises(FieldError, match=r"forward\.files\.select\.store"):
        region._make([files(tmp_path, select=Selection(stores=("Store",)))])
