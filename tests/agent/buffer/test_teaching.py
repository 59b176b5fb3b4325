"""From learned to used, against a real region: nothing is used before it is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from buffers.chain import LANES, Chain
from buffers.harness import ADDRESS, START_NS, all_pending, kept_numbers, sales
from whimbrel_agent.buffer import shelf as shelves
from whimbrel_agent.buffer.shelf import OFFER_AGAIN_NS
from whimbrel_protocol.dictionaries import dictionary_name, named_dictionary
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.messages import DictionaryAnswer, DictionaryStatus

KEPT, WANTED, NO_ROOM = DictionaryStatus


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    chain = Chain(tmp_path)
    await chain.start()
    await chain.talk()
    yield chain
    await chain.close()


class Till:
    """Accepts lines of a small shop and seals them, some to a frame."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.events: list[Event] = []

    async def work(
        self, frames: int, size: int = 20, *, names: str = "autumn", learns: bool = True
    ) -> None:
        for _ in range(frames):
            start = len(self.events)
            given = [
                replace(
                    event,
                    data={
                        **event.data,
                        "article": f"article {number % 37} of the {names} catalogue",
                    },
                )
                for number, event in enumerate(sales(size, start), start)
            ]
            await self.chain.buffer.accept(given)
            self.events += given
            self.chain.shop.clock.advance(30.0)
            await self.chain.buffer.seal_due(self.chain.shop.clock.mono_ns())
            while learns and await self.chain.buffer.dictionaries.learn():
                pass

    async def learn(self) -> bytes:
        """Work until a dictionary is on the shelf; return its name."""
        before = set(self.shelf.at_hand)
        for _ in range(100):
            await self.work(4)
            if new := set(self.shelf.at_hand) - before:
                (name,) = new
                return name
        raise AssertionError(self.learner_says())

    @property
    def shelf(self) -> shelves.Shelf:
        return self.chain.buffer._state.shelf

    def learner_says(self) -> str:
        learner = self.chain.buffer._state.learner
        return "" if learner is None else learner.last.reason

    async def named(self) -> set[bytes]:
        """Return what the waiting frames name."""
        names = set()
        for lane in LANES:
            for ref in await all_pending(self.chain.buffer, lane):
                data = await self.chain.buffer.load(ref.id)
                assert data is not None
                names.add(named_dictionary(open_frame(data).columns))
        return names - {b""}


@pytest.fixture
def till(chain: Chain) -> Till:
    return Till(chain)


async def test_a_dictionary_is_used_only_after_the_region_keeps_it(
    chain: Chain, till: Till
) -> None:
    name = await till.learn()
    await till.work(3)
    assert await till.named() == set()
    await chain.drain()
    assert chain.used == 0
    await till.work(3)
    assert await till.named() == {name}
    await chain.drain()
    assert chain.used == 3
    assert await chain.served() == till.events


async def test_a_trial_goes_on_while_frames_are_sealed(chain: Chain, till: Till) -> None:
    under_way = 0
    while not till.shelf.at_hand and len(till.events) < 10_000:
        await till.work(1, learns=False)
        under_way += await chain.buffer.dictionaries.learn()
    assert len(till.shelf.at_hand) == 1
    assert under_way > 3  # steps, with a frame sealed before each


async def test_whole_frames_become_smaller_by_a_quarter_at_least(chain: Chain, till: Till) -> None:
    await till.learn()
    await till.work(10)
    plain = sum([ref.size_bytes for ref in await all_pending(chain.buffer)][-10:])
    await chain.drain()
    await till.work(10)
    taught = sum([ref.size_bytes for ref in await all_pending(chain.buffer)][-10:])
    assert taught < plain * 0.75  # signature and header, half of what is left, stay as they are


async def test_nothing_is_learned_where_it_is_not_configured(tmp_path: Path) -> None:
    chain = Chain(tmp_path, dictionaries=False)
    await chain.start()
    await chain.talk()
    till = Till(chain)
    await till.work(130)
    assert len(till.shelf) == 0
    await chain.close()


async def test_what_was_kept_is_used_after_a_restart_and_a_crash(chain: Chain, till: Till) -> None:
    await till.learn()
    await chain.drain()
    for frames, clean in ((1, False), (2, True), (3, False)):
        if clean:
            await chain.buffer.close()
        await (chain.open() if clean else chain.crash())
        await till.work(1)
        assert await kept_numbers(chain.buffer) == [e.data["number"] for e in till.events]
        await chain.drain()
        assert chain.used == frames
    assert await chain.served() == till.events


async def test_switched_off_again_its_frames_are_still_read(chain: Chain, till: Till) -> None:
    await till.learn()
    await chain.drain()
    await till.work(2)
    chain.dictionaries = False
    await chain.buffer.close()
    await chain.open()
    await till.work(2)
    assert await kept_numbers(chain.buffer) == [e.data["number"] for e in till.events]
    await chain.drain()
    assert chain.used == 2
    assert await chain.served() == till.events


async def test_a_restored_region_gets_it_again_and_frames_name_it_only_then(
    chain: Chain, till: Till
) -> None:
    await chain.back_up()
    name = await till.learn()
    await chain.drain()
    await till.work(3)
    await chain.restore()
    await chain.talk(loss=1.0)  # nothing comes through: the old word still stands here
    await till.work(1)
    assert await till.named() == {name}
    await chain.drain()
    assert await chain.served() == till.events


async def test_a_region_that_lacks_one_asks_and_no_frame_is_lost(chain: Chain, till: Till) -> None:
    await till.learn()
    await chain.drain()
    await till.work(3)
    await chain.region.journal._write(
        lambda connection, _: connection.execute("DELETE FROM dictionaries")
    )
    await chain.drain()
    assert chain.region.counters["frames_no_dictionary"] >= 1
    assert await chain.served() == till.events


async def test_a_newer_one_retires_the_older_which_goes_with_its_last_frame(
    chain: Chain, till: Till
) -> None:
    first = await till.learn()
    await chain.drain()
    await till.work(2)
    waiting = await till.named()
    assert waiting == {first}
    second = ""
    while not second:
        await till.work(16, names="winter")
        second = next((n.hex() for n in till.shelf.at_hand if n != first), "")
    await chain.talk()
    held = till.shelf.get(first)
    assert held is not None
    assert not held.live  # its frames are kept for a region that is restored
    state = chain.buffer._state
    with state.change() as connection:
        connection.execute("DELETE FROM receipted")
        connection.execute("DELETE FROM bodies")
        till.shelf.forget(connection)
    assert till.shelf.get(first) is None
    assert await chain.served() == till.events


async def test_offers_are_repeated_ever_more_rarely_until_there_is_an_answer(
    chain: Chain, till: Till
) -> None:
    name = await till.learn()
    buffer, at = chain.buffer, START_NS
    assert len(buffer.dictionaries.offers(at)) == 1
    assert buffer.dictionaries.offers(at + OFFER_AGAIN_NS - 1) == []
    [again] = buffer.dictionaries.offers(at + OFFER_AGAIN_NS)
    assert (again.address, again.needed) == (ADDRESS, False)
    assert buffer.dictionaries.offers(at + 2 * OFFER_AGAIN_NS) == []
    assert len(buffer.dictionaries.offers(at + 3 * OFFER_AGAIN_NS)) == 1
    await buffer.dictionaries.take(_answer(chain, (name, KEPT)))
    assert buffer.dictionaries.offers(at + 10**18) == []


def _answer(
    chain: Chain, *entries: tuple[bytes, DictionaryStatus], generation: bytes = b""
) -> DictionaryAnswer:
    return DictionaryAnswer(ADDRESS, generation or chain.region.journal.generation, entries)


async def test_a_word_of_another_generation_or_on_what_is_not_here_changes_nothing(
    chain: Chain, till: Till
) -> None:
    name = await till.learn()
    other = _answer(chain, (name, KEPT), generation=b"12345678")
    unknown = _answer(chain, (b"unknown.", KEPT), (b"unknown.", WANTED))
    for answer in (other, unknown):
        assert await chain.buffer.dictionaries.take(answer) == []
    await till.work(2)
    assert await till.named() == set()


async def test_a_question_that_is_played_again_is_answered_once(chain: Chain, till: Till) -> None:
    name = await till.learn()
    wanted = _answer(chain, (name, WANTED))
    [offer] = await chain.buffer.dictionaries.take(wanted)
    assert offer.needed
    assert await chain.buffer.dictionaries.take(wanted) == []
    chain.shop.clock.advance(5.0)
    assert len(await chain.buffer.dictionaries.take(wanted)) == 1


async def test_one_that_finds_no_room_goes(chain: Chain, till: Till) -> None:
    name = await till.learn()
    await chain.buffer.dictionaries.take(_answer(chain, (name, NO_ROOM)))
    held = till.shelf.get(name)
    assert held is None or not held.live
    await till.work(2)
    assert await till.named() == set()


async def test_a_buffer_with_too_many_learns_no_more(
    chain: Chain, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whimbrel_agent.buffer.teaching.MAX_HELD", 0)
    await till.work(70)
    assert len(till.shelf) == 0
    assert "no room" in till.learner_says()


async def test_salvage_keeps_dictionaries_that_prove_themselves(chain: Chain, till: Till) -> None:
    name = await till.learn()
    await chain.drain()
    await till.work(3)
    await chain.buffer.close()
    path = chain.shop.path
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ledger SET sum = sum + 1")  # as a damaged page would
    connection.commit()
    connection.close()
    await chain.open()
    assert chain.buffer._state.damage is not None
    assert dictionary_name(till.shelf.at_hand[name].content) == name
    assert await till.named() == {name}
    assert sorted(await kept_numbers(chain.buffer)) == [e.data["number"] for e in till.events]
    await chain.drain()
    assert await chain.served() == till.events


async def test_a_row_that_is_not_as_it_was_written_is_found_and_its_content_kept_for_reading(
    chain: Chain, till: Till
) -> None:
    name = await till.learn()
    await chain.drain()
    await till.work(2)
    await chain.buffer.close()
    connection = sqlite3.connect(chain.shop.path)
    connection.execute("UPDATE dictionaries SET through = through + 1")
    connection.commit()
    connection.close()
    await chain.open()
    damage = chain.buffer._state.damage
    assert damage is not None
    held = till.shelf.get(name)
    assert held is not None
    assert not held.live
    await till.work(2)
    assert sorted(await kept_numbers(chain.buffer)) == [e.data["number"] for e in till.events]
    await chain.drain()
    assert await chain.served() == till.events
