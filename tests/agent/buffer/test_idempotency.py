"""A producer that repeats itself gets the first answer, across restarts, within bounds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from buffers.harness import Shop, assert_sound, kept_numbers, sales
from whimbrel_agent.buffer import committing
from whimbrel_agent.buffer.places import Places
from whimbrel_agent.buffer.runner import ThreadRunner
from whimbrel_agent.buffer.values import KeyReusedError


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


async def test_repeated_key_gets_the_first_answer_and_keeps_one_event(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        first = await buffer.accept(sales(3), keys=[b"a", None, b"c"])
        again = await buffer.accept(sales(3, 10), keys=[b"c", b"d", b"a"])
        assert [(a.sequence, a.repeated) for a in again] == [(3, True), (4, False), (1, True)]
        assert [a.sequence for a in first] == [1, 2, 3]
        assert await kept_numbers(buffer) == [0, 1, 2, 11]
        await assert_sound(buffer)


async def test_key_twice_in_one_group_counts_once(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        answers = await buffer.accept(sales(2), keys=[b"a", b"a"])
        assert [(a.sequence, a.repeated) for a in answers] == [(1, False), (1, True)]
        assert await kept_numbers(buffer) == [0]


async def test_keys_survive_a_restart(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        first = await buffer.accept(sales(1), keys=[b"sale-77"])
    async with shop.buffer() as buffer:
        again = await buffer.accept(sales(1), keys=[b"sale-77"])
        assert again == [first[0]._replace(repeated=True)]


async def test_a_key_with_other_content_is_refused_and_counted_also_after_a_restart(
    shop: Shop,
) -> None:
    async with shop.buffer() as buffer:
        first = await buffer.accept(sales(2), keys=[b"a", b"b"], fingerprints=[11, 22])
    async with shop.buffer() as buffer:
        with pytest.raises(KeyReusedError) as caught:
            await buffer.accept(sales(3, 10), keys=[b"c", b"a", b"b"], fingerprints=[33, 11, 23])
        assert caught.value.index == 2
        assert (await buffer.stats()).counters["keys_reused"] == 1
        again = await buffer.accept(sales(2), keys=[b"a", b"b"], fingerprints=[11, 22])
        assert again == [one._replace(repeated=True) for one in first]
        assert await kept_numbers(buffer) == [0, 1]
        await assert_sound(buffer)


async def test_a_reused_key_spoils_nothing_for_others_in_its_commit(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "buffer.db", runner=ThreadRunner())
    async with shop.buffer() as buffer:
        await buffer.accept(sales(1), keys=[b"a"], fingerprints=[1])
        answers = await asyncio.gather(
            buffer.accept(sales(1, 1)),
            buffer.accept(sales(1, 2), keys=[b"a"], fingerprints=[2]),
            buffer.accept(sales(1, 3), keys=[b"a"], fingerprints=[1]),
            return_exceptions=True,
        )
        assert isinstance(answers[1], KeyReusedError)
        assert isinstance(answers[2], Places)
        assert answers[2][0].repeated
        assert await kept_numbers(buffer) == [0, 1]
        counters = (await buffer.stats()).counters
        assert (counters["keys_reused"], counters["repeated"]) == (1, 1)


async def test_without_a_fingerprint_a_key_counts_whatever_comes_under_it(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(2), keys=[b"a", b"b"], fingerprints=[0, 5])
        again = await buffer.accept(sales(2, 7), keys=[b"a", b"b"], fingerprints=[9, 0])
        assert [one.repeated for one in again] == [True, True]


async def test_keys_are_forgotten_past_count_and_age(shop: Shop) -> None:
    async with shop.buffer(idempotency_keys=20, idempotency_age_s=60) as buffer:
        for number in range(30):
            await buffer.accept(sales(1, number), keys=[b"%d" % number])
        newest = await buffer.accept(sales(1), keys=[b"29"])
        oldest = await buffer.accept(sales(1), keys=[b"0"])
        assert (newest[0].repeated, oldest[0].repeated) == (True, False)
        shop.clock.advance(61)
        aged = await buffer.accept(sales(1), keys=[b"29"])
        assert aged[0].repeated is False
        (rows,) = buffer._state.database.connection.execute("SELECT count(*) FROM keys").fetchone()
        assert rows <= 21


async def test_keys_from_before_the_clock_was_set_are_remembered_when_it_is(shop: Shop) -> None:
    # A board without a battery begins in 1970; the till repeats itself after the time has come.
    right = shop.clock.wall
    shop.clock.wall = 60 * 10**9
    async with shop.buffer(idempotency_age_s=60) as buffer:
        await buffer.accept(sales(1), keys=[b"early"])
        shop.clock.wall = right
        again = await buffer.accept(sales(1), keys=[b"early"])
        assert again[0].repeated
        await buffer.accept(sales(1, 1), keys=[b"later"])
    async with shop.buffer(idempotency_age_s=60) as buffer:
        shop.clock.wall = right + 59 * 10**9
        assert (await buffer.accept(sales(1), keys=[b"early"]))[0].repeated
        shop.clock.wall = right + 61 * 10**9
        assert not (await buffer.accept(sales(1), keys=[b"early"]))[0].repeated


async def test_a_clock_that_loses_its_time_again_stays_where_it_was_for_keys(shop: Shop) -> None:
    right = shop.clock.wall
    async with shop.buffer(idempotency_age_s=60) as buffer:
        await buffer.accept(sales(1), keys=[b"a"])
    shop.clock.wall = 60 * 10**9
    async with shop.buffer(idempotency_age_s=60) as buffer:
        await buffer.accept(sales(1, 1), keys=[b"b"])
        shop.clock.wall = right + 30 * 10**9
        assert (await buffer.accept(sales(1, 1), keys=[b"b"]))[0].repeated
        assert (await buffer.accept(sales(1), keys=[b"a"]))[0].repeated


async def test_a_paused_importer_keeps_its_position_whatever_others_do(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committing, "MAX_CHECKPOINTS", 3)
    async with shop.buffer() as buffer:
        await buffer.accept([], checkpoint=("paused", b"line 7"))
        for number in range(20):
            await buffer.accept([], checkpoint=(f"busy {number % 2}", b"%d" % number))
        assert await buffer.checkpoint("paused") == b"line 7"
        await buffer.accept([], checkpoint=("new", b"1"))
        assert await buffer.checkpoint("paused") is None
        assert await buffer.checkpoint("busy 0") == b"18"


async def test_checkpoint_becomes_durable_with_its_events(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(2), checkpoint=("import sales.csv", b"line 2"))
        await buffer.accept([], checkpoint=("import done.csv", b"end"))
    async with shop.buffer() as buffer:
        assert await buffer.checkpoint("import sales.csv") == b"line 2"
        assert await buffer.checkpoint("import done.csv") == b"end"
        assert await buffer.checkpoint("never") is None
