"""Numberings begin and are forgotten also when the disk has no room for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection

import pytest

from buffers.harness import Shop, all_pending, assert_sound, receipt_for, sales
from whimbrel_agent.buffer.database import Database, DiskFullError
from whimbrel_agent.buffer.epochs import forget_idle, open_epoch
from whimbrel_agent.buffer.numbers import read_numbers
from whimbrel_agent.buffer.reissuing import rotate
from whimbrel_protocol.epoch import ordinal_of


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "buffer.db")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every transaction finds the disk full for as long as the reserve holds its space."""
    whole = Database.transaction

    @contextmanager
    def refused(self: Database) -> Iterator[Connection]:
        with whole(self) as connection:
            yield connection
            if self.path.with_name(f"{self.path.name}.reserve").exists():
                raise DiskFullError("no room")

    monkeypatch.setattr(Database, "transaction", refused)


async def test_an_epoch_begins_on_a_full_disk_by_the_reserve_and_is_the_only_one(
    shop: Shop, full_disk: None
) -> None:
    async with shop.buffer() as buffer:
        assert buffer._state.counters["reserve_used"] == 1
        assert set(buffer._state.epochs) == {buffer.epoch}
        numbers = shop.path.with_name("buffer.db.numbers").read_bytes()
        assert set(read_numbers(numbers).epochs) == {buffer.epoch}
        await assert_sound(buffer)


async def test_an_epoch_that_finds_no_room_beside_is_none_and_another_may_begin(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop.buffer() as buffer:
        state, before = buffer._state, buffer.epoch
        await buffer.accept(sales(3))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        with monkeypatch.context() as patch, pytest.raises(DiskFullError, match="no room beside"):
            patch.setattr(state.numbers, "start", full)
            rotate(state, buffer._sealer, above=0, forked=False)
        assert not state.reserve.present
        assert (buffer.epoch, state.former_epochs) == (before, set())
        rotate(state, buffer._sealer, above=0, forked=False)
        assert (buffer.epoch > before, state.former_epochs) == (True, {before})
        await assert_sound(buffer)


async def test_an_epoch_has_the_ordinal_it_was_given_and_numbers_from_one(shop: Shop) -> None:
    async with shop.buffer() as buffer:
        await buffer.accept(sales(10))
        await buffer.seal_all()
        before = buffer.epoch
        open_epoch(buffer._state, ordinal_of(before) + 5)
        assert ordinal_of(buffer.epoch) == ordinal_of(before) + 5
        (answer,) = await buffer.accept(sales(1, 10))
        assert (answer.epoch, answer.sequence) == (buffer.epoch, 1)


async def test_epochs_of_which_nothing_is_left_are_forgotten(
    shop: Shop, request: pytest.FixtureRequest
) -> None:
    for _ in range(3):
        async with shop.buffer(retain_share=0.0) as buffer:
            await buffer.accept(sales(10))
            await buffer.seal_all()
            await buffer.settle(receipt_for((await all_pending(buffer))[:1]))
    async with shop.buffer() as buffer:
        state = buffer._state
        kept = {stream.epoch for stream in state.streams}
        unused = max(kept) - 1
        state.epochs[unused] = state.epochs[buffer.epoch]
        request.getfixturevalue("full_disk")
        forget_idle(state)
        assert set(state.epochs) == kept | {buffer.epoch}
        assert state.counters["reserve_used"] == 1
