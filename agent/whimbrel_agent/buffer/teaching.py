"""From learned to used: what is tried, offered, and what the region's word on it changes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol, TypeVar

from whimbrel_agent.buffer import capacity
from whimbrel_agent.buffer.database import DiskFullError
from whimbrel_agent.buffer.shelf import MAX_HELD
from whimbrel_agent.buffer.state import BufferState
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.messages import DictionaryAnswer, DictionaryOffer, DictionaryStatus

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Run(Protocol):
    """Does work on the database's thread."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Return what the work returned."""
        ...


class Dictionaries:
    """A buffer's dictionaries, for those who seal and send."""

    def __init__(self, state: BufferState, run: Run) -> None:
        self._state = state
        self._run = run
        self._trial: Iterator[None] | None = None

    async def learn(self) -> bool:
        """Do a step of a trial, if one is due or under way; returns whether there is more to do.

        A trial takes some tenths of a second, and seconds on the slowest class of devices: what is
        accepted and sealed meanwhile comes between its steps.
        """
        if self._trial is None and is_due(self._state):
            self._trial = learn(self._state)
        if self._trial is None:
            return False
        done = object()
        if await self._run(partial(next, self._trial, done)) is done:
            self._trial = None
        return self._trial is not None

    def offers(self, now_mono_ns: int) -> list[DictionaryOffer]:
        """Give what the present region should be offered now; cheap when there is nothing."""
        state = self._state
        return state.shelf.offers(state.address, state.generation, now_mono_ns)

    async def take(self, answer: DictionaryAnswer) -> list[DictionaryOffer]:
        """Take a region's verified word on dictionaries; answers what it wants."""
        return await self._run(lambda: take_answer(self._state, answer))


def is_due(state: BufferState) -> bool:
    """Whether a trial should be made now: cheap, asked after every sealing."""
    return state.learner is not None and state.learner.is_due and bool(state.generation)


def learn(state: BufferState) -> Iterator[None]:
    """Try a new dictionary in steps, and put it on the shelf if it pays; it is used once it is kept.

    None is tried while another waits to be kept, or while frames name too many.
    """
    assert state.learner is not None
    shelf = state.shelf
    with state.change() as connection:
        shelf.forget(connection)
    waiting = any(not one.is_kept(state.address, state.generation) for one in shelf.live())
    if waiting or len(shelf) >= MAX_HELD or capacity.is_pressing(state):
        state.learner.pass_over()
        return
    learned = yield from state.learner.steps(shelf.for_sealing(state.address, state.generation))
    _log.debug("a dictionary was tried: %s", state.learner.last.reason)
    if learned is not None and learned.name not in shelf.at_hand:
        _shelve(state, learned)


def _shelve(state: BufferState, learned: Dictionary) -> None:
    assert state.learner is not None
    try:
        with state.change() as connection:
            state.shelf.add(connection, learned.content)
    except DiskFullError:  # it only saves bytes: what is full must not be made fuller
        return
    state.counters["dictionaries_learned"] += 1
    _log.info("dictionary %s is learned: %s", learned.name.hex(), state.learner.last.reason)


def take_answer(state: BufferState, answer: DictionaryAnswer) -> list[DictionaryOffer]:
    """Take the region's verified word on dictionaries; return what it asked for.

    Words of another journal generation than the last resume's are void: nothing is used on them.
    """
    offers: list[DictionaryOffer] = []
    for name, status in answer.entries:
        held = state.shelf.get(name)
        if held is None:
            state.counters["dictionaries_unmatched"] += 1
        elif status is DictionaryStatus.WANTED:
            offer = state.shelf.wanted(name, answer.address, state.clock.mono_ns())
            if offer is not None:
                offers.append(offer)
        elif answer.generation == state.generation and answer.address == state.address:
            _settle(state, name, status)
    return offers


def _settle(state: BufferState, name: bytes, status: DictionaryStatus) -> None:
    def work() -> None:
        with state.change() as connection:
            shelf = state.shelf
            held = shelf.get(name)
            if held is None:
                return
            if status is DictionaryStatus.KEPT:
                shelf.keep(
                    connection,
                    name,
                    address=state.address,
                    generation=state.generation,
                    last_body=state.next_body - 1,
                )
            elif held.live:
                shelf.retire(connection, held, state.next_body - 1)
            shelf.forget(connection)

    capacity.freeing(state, work)
    state.counters["dictionaries_" + status.name.lower()] += 1
