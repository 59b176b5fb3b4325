"""Raw events on the device: found by range, bounded, and never in an accept's way."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from buffers.harness import HandClock
from edgerules.series import SECOND_NS, START_NS, reading
from whimbrel_agent.buffer.runner import DirectRunner
from whimbrel_agent.rules.rawstore import MAX_WAITING, MIN_RAW_BYTES, RawStore
from whimbrel_protocol.event import Event


def store_at(
    path: Path, clock: HandClock | None = None, max_bytes: int = MIN_RAW_BYTES
) -> RawStore:
    return RawStore(path, max_bytes, clock or HandClock(), DirectRunner())


async def found(
    store: RawStore, source: str = "s", first: float = 0, last: float = 1e6
) -> list[Event]:
    begin, end = START_NS + int(first * SECOND_NS), START_NS + int(last * SECOND_NS)
    return [event async for event in store.read(source, begin, end)]


async def test_a_range_gives_back_exactly_what_came(tmp_path: Path) -> None:
    store = store_at(tmp_path / "raw.db")
    events = [reading(n / 3, n, lane="bulk", note="é") for n in range(1_000)]
    for start in range(0, 1_000, 90):
        await store.add([(7.0, event) for event in events[start : start + 90]])
        await store.flush()
    await store.add([(7.0, reading(5, 3, source="other"))])
    assert await found(store) == events
    assert await found(store, first=100, last=200) == events[100:200]
    assert len(await found(store, "other")) == 1
    assert await found(store, "nobody") == []
    await store.close()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    store = store_at(tmp_path / "raw.db")
    await store.add([(1.0, reading(1))])
    await store.close()
    again = store_at(tmp_path / "raw.db")
    assert await found(again) == [reading(1)]
    await again.close()


async def test_many_are_written_at_once_without_being_asked(tmp_path: Path) -> None:
    store = store_at(tmp_path / "raw.db")
    await store.add([(1.0, reading(n, n)) for n in range(MAX_WAITING - 1)])
    assert store.figures()["waiting"] == MAX_WAITING - 1
    await store.add([(1.0, reading(0))])
    assert (store.figures()["waiting"], store.figures()["kept"]) == (0, MAX_WAITING)
    await store.close()


async def test_events_go_after_their_days(tmp_path: Path) -> None:
    clock = HandClock(wall=START_NS)
    store = store_at(tmp_path / "raw.db", clock)
    await store.add([(1.0, reading(1)), (3.0, reading(3))])
    await store.flush()
    clock.advance(2 * 86_400)
    await store.add([(1.0, reading(2, 5))])
    assert [event.data["v"] for event in await found(store)] == [3, 2]
    clock.wall = 0  # a clock that lost its time says nothing of age
    clock.mono += 10
    await store.add([(1.0, reading(4, 6))])
    assert [event.data["v"] for event in await found(store)] == [3, 2, 4]
    await store.close()


async def test_at_the_cap_the_oldest_go(tmp_path: Path) -> None:
    store = store_at(tmp_path / "raw.db")
    for n in range(300):
        noise = random.Random(n).randbytes(9_000)
        await store.add([(7.0, reading(n, n, noise=noise))])
        await store.flush()
    numbers = [event.data["v"] for event in await found(store)]
    assert numbers == list(range(300 - len(numbers), 300))
    assert 60 < len(numbers) < 120
    assert (tmp_path / "raw.db").stat().st_size <= MIN_RAW_BYTES
    assert store.figures()["lost"] == 0
    await store.close()


async def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "raw.db").write_bytes(b"this is no database" * 100)
    store = store_at(tmp_path / "raw.db")
    await store.add([(1.0, reading(1))])
    assert await found(store) == [reading(1)]
    assert (tmp_path / "raw.damaged").exists()
    await store.close()


async def test_a_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    store = store_at(tmp_path / "raw.db")
    await store.add([(1.0, reading(1))])
    await store.flush()
    await store.add([(1.0, reading(2))])
    await store.close()
    with sqlite3.connect(tmp_path / "raw.db") as connection:
        connection.execute("UPDATE raw SET body = x'5753' WHERE id = 1")
    connection.close()
    again = store_at(tmp_path / "raw.db")
    assert await found(again) == [reading(2)]
    assert again.figures()["damaged_rows"] == 1
    await again.close()


async def test_a_disk_that_fails_costs_raw_events_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path / "nowhere" / "raw.db")
    await store.add([(1.0, reading(n, n)) for n in range(MAX_WAITING)])
    assert store.figures()["lost"] == MAX_WAITING
    assert "raw events are not kept" in caplog.text
    await store.close()
