from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from committed.journal import Committer, address, events
from committed.sinks import (
    Behaviour,
    LoopClock,
    ScriptedSink,
    fail,
    forwarder_over,
    hang,
    loop_journal,
    running,
    take,
)
from servers.waiting import eventually
from whimbrel_aggregator.forward.breaker import OPEN_AFTER_FAILURES, BreakerState
from whimbrel_aggregator.forward.gate import Gate, GateClosedError, SinkHungError, SinkRunner
from whimbrel_aggregator.forward.worker import Forwarder
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from worlds.virtual import in_virtual_time


def gate(hang_s: float = 10.0) -> Gate:
    return Gate(clock=LoopClock(), random=random.Random(1), hang_s=hang_s)


def is_stuck(runner: SinkRunner) -> bool:
    return runner.stuck


def breaker_of(forwarder: Forwarder) -> BreakerState:
    return forwarder.status.breaker


def now_s() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_call_that_never_returns_is_given_up_at_its_limit() -> None:
    with pytest.raises(SinkHungError, match="opening did not return within 10 s"):
        await gate().timely(asyncio.Event().wait(), "opening")
    assert 10 <= now_s() < 10.1


@in_virtual_time
async def test_a_time_out_of_the_sinks_own_is_not_taken_for_ours() -> None:
    async def own() -> None:
        raise TimeoutError("the sink's")

    with pytest.raises(TimeoutError, match="the sink's"):
        await gate().timely(own(), "opening")


@in_virtual_time
async def test_an_open_breaker_lets_one_pass_when_its_time_is_over() -> None:
    door = gate()
    for _ in range(OPEN_AFTER_FAILURES):
        door.failed("down")
    opens_s = door.breaker.retry_s
    with pytest.raises(GateClosedError, match="the breaker is open: down"), door.passing():
        pass
    assert not await door.opens()
    assert now_s() == pytest.approx(opens_s, abs=0.01)
    with door.passing():
        with pytest.raises(GateClosedError, match="half-open"), door.passing():
            pass
        door.settled()
    assert await door.opens()
    assert door.closed


@in_virtual_time
async def test_a_probe_that_ends_without_a_word_lets_the_next_one_pass() -> None:
    door = gate()
    door.failed("hung", hung=True)
    await door.opens()
    with pytest.raises(OSError), door.passing():
        raise OSError
    with door.passing():
        door.settled()
    assert door.closed


async def test_nothing_more_is_handed_to_a_thread_in_which_a_call_is_stuck() -> None:
    release = threading.Event()
    runner = SinkRunner(ThreadRunner("stuck"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await runner.run(release.wait)
    assert is_stuck(runner)
    done: list[int] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await runner.run(lambda: done.append(1))
    await runner.close()  # does not wait for it
    release.set()
    await eventually(lambda: not runner.stuck, timeout_s=20, what="the call to return")
    assert await runner.run(lambda: 7) == 7
    assert done == []
    await runner.close()


# ------------------------------------------------------------------ through a forwarder


@in_virtual_time
async def test_a_sink_that_fails_is_left_alone_and_found_again(tmp_path: Path) -> None:
    async with loop_journal(tmp_path) as journal:
        committer = Committer(journal)
        for store in range(20):
            await committer.commit([events(store * 10, 10)], address(f"store-{store}"))
        sink = ScriptedSink(fail)
        forwarder = forwarder_over(journal, "hook", sink)
        async with running(forwarder):
            await asyncio.sleep(600)
            assert breaker_of(forwarder) is BreakerState.OPEN
            assert forwarder.status.state == "retrying"
            # without a breaker each of 20 stores would be tried about once a minute
            assert len(sink.calls) < 60
            sink.behave = take
            await asyncio.sleep(61)
            assert breaker_of(forwarder) is BreakerState.CLOSED
            assert forwarder.status.breaker_opened == 1
        assert sorted(sink.numbers) == list(range(200))


@pytest.mark.parametrize("behave", [hang, fail])
@in_virtual_time
async def test_while_a_sink_is_down_its_backlog_is_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behave: Behaviour
) -> None:
    reads: list[PartitionKey] = []
    read = SqliteJournal.read

    async def counted(
        self: SqliteJournal, partition: PartitionKey, *given: Any, **named: Any
    ) -> Any:
        reads.append(partition)
        return await read(self, partition, *given, **named)

    async with loop_journal(tmp_path) as journal:
        committer = Committer(journal)
        for store in range(40):
            await committer.commit([events(store * 10, 10)], address(f"store-{store}"))
        monkeypatch.setattr(SqliteJournal, "read", counted)
        async with running(forwarder_over(journal, "hook", ScriptedSink(behave))):
            await asyncio.sleep(900)
    # some twenty probes in a quarter of an hour, each with the deliveries that are in flight
    assert len(reads) < 40 * 4


@in_virtual_time
async def test_a_sink_that_hangs_is_opened_anew_and_gets_everything_later(tmp_path: Path) -> None:
    async with loop_journal(tmp_path) as journal:
        await Committer(journal).commit([events(1, 50), events(51, 50)])
        sink = ScriptedSink(hang)
        forwarder = forwarder_over(journal, "hook", sink)
        async with running(forwarder):
            await asyncio.sleep(10.5)
            assert breaker_of(forwarder) is BreakerState.OPEN
            assert "did not return within 10 s" in forwarder.status.reason
            await asyncio.sleep(300)
            assert sink.opened > 2
            sink.behave = take
            await asyncio.sleep(75)
            assert breaker_of(forwarder) is BreakerState.CLOSED
            assert forwarder.status.state == "running"
        assert sink.numbers == list(range(1, 101))


async def delivered_at(folder: Path, behave: object) -> list[tuple[float, int]]:
    """When a good sink got what a store sends every second, beside one that behaves so."""
    async with loop_journal(folder) as journal:
        committer = Committer(journal)
        good, other = ScriptedSink(), ScriptedSink(behave)  # type: ignore[arg-type]
        forwarders = (
            forwarder_over(journal, "good", good),
            forwarder_over(journal, "other", other),
        )
        async with running(*forwarders):
            for number in range(0, 1_200, 10):
                await committer.commit([events(number, 10)], address(f"store-{number % 7}"))
                await asyncio.sleep(1)
        assert good.numbers == list(range(1_200))
        return good.taken


def in_a_fresh_loop(folder: Path, behave: object) -> list[tuple[float, int]]:
    taken: list[tuple[float, int]] = []
    folder.mkdir()

    @in_virtual_time
    async def run() -> None:
        taken.extend(await delivered_at(folder, behave))

    run()
    return taken


@pytest.mark.parametrize("behave", [hang, fail])
def test_a_neighbour_that_hangs_or_fails_delays_nobody(tmp_path: Path, behave: object) -> None:
    usual = in_a_fresh_loop(tmp_path / "usual", take)
    beside = in_a_fresh_loop(tmp_path / "beside", behave)
    committed_s = [number // 10 for number in range(1_200)]
    delays = [
        sorted(at_s - since_s for (at_s, _), since_s in zip(taken, committed_s, strict=True))
        for taken in (usual, beside)
    ]
    # steps of the virtual loop (1 us each) are all that may differ
    for before_s, after_s in zip(*delays, strict=True):
        assert after_s <= before_s * 1.1 + 1e-3
