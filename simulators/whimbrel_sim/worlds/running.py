"""Runs worlds: one, or many over several processes, each to an outcome and never to an error.

A world has a folder of its own, in memory where the system has such a place, and it is removed
whatever happens. What the product logs on purpose goes into the trace and nowhere else.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final

from whimbrel_sim.cards import preload
from whimbrel_sim.cards.card import Card as RecordedCard

from .cardport import Card, plain_card
from .loop import VirtualTimeLoop
from .outcome import Outcome, outcome_of
from .scenario import Scenario, load_scenario
from .world import World

Write = Callable[[str], None]

MAX_CPU_S: Final = 1800.0
"""A world that takes more processor time than this hangs; a day of 2,500 devices takes a third."""

IN_FLIGHT: Final = 3
"""Seeds per process that are handed out before the first is back."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108  names below it are made by tempfile

_LOGGERS: Final = (
    "whimbrel",
    "whimbrel_agent",
    "whimbrel_aggregator",
    "whimbrel_protocol",
    "asyncio",
)


class WorldHangsError(KeyboardInterrupt):
    """A world took more than :data:`MAX_CPU_S`.

    It is a keyboard interrupt because an event loop lets nothing else through at every place.
    """


_ENDINGS: Final = (Exception, BaseExceptionGroup, asyncio.CancelledError, WorldHangsError)
"""By which a world ends as an outcome; a dead process's error is a cancellation. Ctrl-C is none."""


def cards_for(scenario: Scenario) -> Callable[[Path], Card]:
    """Return what makes the cards of a scenario's machines."""
    if scenario.recorded and preload.loaded():
        return RecordedCard
    return plain_card  # says by itself what it cannot do


def needs_recorder(name: str) -> bool:
    """Say whether a scenario must be run in processes that are started under the recorder.

    Raises:
        ScenarioError: the scenario cannot be used at all.
    """
    return load_scenario(name).recorded and not preload.loaded()


def run_named(name: str, seed: int, write: Write | None = None) -> Outcome:
    """Run a world of a scenario that is known by name or file.

    Raises:
        ScenarioError: the scenario cannot be used at all.
    """
    return replace(run_world(load_scenario(name), seed, write=write), scenario=name)


def run_world(
    scenario: Scenario,
    seed: int,
    *,
    write: Write | None = None,
    watch: Callable[[World], object] = lambda _: None,
) -> Outcome:
    """Run one world to its end.

    Args:
        scenario: what it is made of.
        seed: decides everything else.
        write: takes every line of its trace.
        watch: is given the world before it begins, to listen at its parts.
    """
    began_s = time.process_time()
    worlds: list[World] = []
    error, text = "", ""
    with tempfile.TemporaryDirectory(prefix="whimbrel-world-", dir=_place()) as folder:
        try:
            with _watched(), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                runner.run(_run(scenario, seed, Path(folder), write, worlds, watch=watch))
        except _ENDINGS as failure:
            error, text = _called(failure), "".join(traceback.format_exception(failure))
        found = outcome_of(worlds[0], scenario.name) if worlds else None
    outcome = found or Outcome(scenario=scenario.name, seed=seed)
    return replace(outcome, error=error, traceback=text, cpu_s=time.process_time() - began_s)


async def _run(
    scenario: Scenario,
    seed: int,
    folder: Path,
    write: Write | None,
    worlds: list[World],
    *,
    watch: Callable[[World], object],
) -> None:
    world = World(scenario, seed, folder, write=write, new_card=cards_for(scenario))
    worlds.append(world)
    watch(world)
    world.timeline.hidden = (str(folder), f" with process id {os.getpid()}")
    with _logging_to(world, traced=write is not None):
        try:
            await _unless_a_callback_fails(world)
        finally:
            world.close()


async def _unless_a_callback_fails(world: World) -> None:
    """Run a world; what a callback raises, which a loop would only log, ends it."""
    task = asyncio.current_task()
    assert task is not None
    raised: list[Exception] = []

    def notice(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and isinstance(error, Exception):
            raised.append(error)
            task.cancel()
        else:
            loop.default_exception_handler(context)

    world.loop.set_exception_handler(notice)
    try:
        await world.run()
    except BaseException:
        if not raised:
            raise
    if raised:
        raise raised[0]


def _called(failure: BaseException) -> str:
    """Return the class's name of an error, of the first one where there are several."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return type(failure).__name__


def _place() -> Path | None:
    """Return where worlds' folders are made; None for the system's own choice."""
    return _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None


@contextmanager
def _watched() -> Iterator[None]:
    """Interrupt a world that never ends; only the main thread can."""

    def hangs(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise WorldHangsError(f"more than {MAX_CPU_S:g} s of processor time")

    try:
        before = signal.signal(signal.SIGVTALRM, hangs)
    except ValueError:  # not the main thread
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CPU_S, MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class _Remarks(logging.Handler):
    """Puts the product's log into a world's trace."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._timeline = world.timeline

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line."""
        self._timeline.remark(record.name, f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def _logging_to(world: World, *, traced: bool) -> Iterator[None]:
    """Take the product's log away from everybody else, as long as a world runs."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    for one in loggers:
        one.handlers, one.propagate = [_Remarks(world) if traced else logging.NullHandler()], False
        one.setLevel(logging.INFO if traced else logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)


# ---------------------------------------------------------------------- many


def run_many(name: str, seeds: Iterable[int], *, jobs: int = 1) -> Iterator[Outcome]:
    """Run many worlds; yields outcomes as they come, not in the order of seeds with several jobs.

    Close the iterator to stop: what runs ends, nothing further begins.

    Raises:
        ScenarioError: the scenario cannot be used at all.
    """
    recorder = needs_recorder(name)
    if jobs == 1 and not recorder:
        return (run_named(name, seed) for seed in seeds)
    return _run_in_processes(name, iter(seeds), jobs, recorder=recorder)


@contextmanager
def _children_under_recorder() -> Iterator[None]:
    """Let processes that are started meanwhile run under the recorder.

    Raises:
        PreloadError: it cannot be built.
    """
    name = "LD_PRELOAD"
    before = os.environ.get(name)
    os.environ[name] = preload.environment()[name]
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _run_in_processes(
    name: str, seeds: Iterator[int], jobs: int, *, recorder: bool
) -> Iterator[Outcome]:
    with _children_under_recorder() if recorder else nullcontext():
        yield from _run_in_pool(name, seeds, jobs)


def _run_in_pool(name: str, seeds: Iterator[int], jobs: int) -> Iterator[Outcome]:
    # Started anew: a fork would copy whatever threads hold at that moment.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin_worker) as pool:
        try:
            running: set[Future[Outcome]] = set()
            while True:
                fresh = islice(seeds, jobs * IN_FLIGHT - len(running))
                running |= {pool.submit(run_named, name, seed) for seed in fresh}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin_worker() -> None:
    """Leave stopping and the program's own objects to others.

    Ctrl-C reaches the whole group of processes, and the first one decides what it means. What is
    imported stays, and looking through it with every world's garbage took a tenth of the time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
