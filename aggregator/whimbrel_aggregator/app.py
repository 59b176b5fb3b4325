"""The composition root: puts the aggregator together, runs it, and stops it in order.

Order at the end: take nothing more in, commit and answer what is queued (with a deadline),
then stop consumers and links, bring the journal's log home, close it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from whimbrel_aggregator.clock import SystemClock, system_random
from whimbrel_aggregator.config import AggregatorConfig
from whimbrel_aggregator.forward.running import Forwarders
from whimbrel_aggregator.housekeeping import (
    keep_checkpoints,
    keep_retention,
    keep_watchdog,
    policy_of,
)
from whimbrel_aggregator.ingest.answers import Answerer
from whimbrel_aggregator.ingest.commit import Committer
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.mqtt import MqttFeed
from whimbrel_aggregator.ingest.pipeline import Ingest
from whimbrel_aggregator.ingest.strangers import Strangers
from whimbrel_aggregator.journal.errors import JournalError
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.keyfile import read_key
from whimbrel_aggregator.logs import facts
from whimbrel_aggregator.ports import Clock, Random
from whimbrel_aggregator.reading import EventReader
from whimbrel_aggregator.registry.devices import Registry
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.supervisor import Supervisor
from whimbrel_aggregator.web.server import run_server
from whimbrel_aggregator.workers import ThreadWorkers
from whimbrel_protocol.keys import PrivateKey

DRAIN_S: Final = 10.0
"""How long what is queued may take to be committed and answered after a stop was asked for."""

_log = logging.getLogger("whimbrel")

Ready = Callable[[str, int], None]
"""Called with the API's host and port once everything runs."""


class Aggregator:
    """One region's aggregator over an open journal. Made by :func:`run`."""

    def __init__(
        self,
        config: AggregatorConfig,
        *,
        journal: SqliteJournal,
        key: PrivateKey,
        clock: Clock,
        random: Random,
    ) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock
        self.counters = Counters()
        self.strangers = Strangers(hold_s=config.ingest.hold_s)
        self.registry = Registry(journal)
        self._decoder = ThreadRunner("decode")
        self._workers = ThreadWorkers(config.ingest.verify_threads, "verify")
        self._reader = EventReader(journal, self._decoder, clock)
        self.ingest = Ingest(
            config.ingest,
            region=config.region.name,
            enrolments=self.registry,
            committer=Committer(journal, random=random, counters=self.counters),
            workers=self._workers,
            counters=self.counters,
        )
        self.feed = MqttFeed(
            config.broker,
            region=config.region.name,
            offer=self.ingest.offer,
            clock=clock,
            random=random,
            counters=self.counters,
        )
        self._answerer = Answerer(
            config.ingest,
            journal=journal,
            key=key,
            clock=clock,
            counters=self.counters,
            strangers=self.strangers,
            publish=self.feed.publish,
            queued_bytes=lambda: self.ingest.queued_bytes,
        )
        self._forwarders = Forwarders(
            config.forwards,
            journal=journal,
            reader=self._reader,
            runner=self._decoder,
            clock=clock,
            random=random,
        )

    def services(self) -> Services:
        """Return what the HTTP API works on."""
        return Services(
            region=self._config.region.name,
            version=version("whimbrel"),
            journal=self._journal,
            reader=self._reader,
            clock=self._clock,
            ingest=self.counters.totals,
            forwarders=self._forwarders.statuses,
            operated=self._forwarders.wake,
            strangers=self.strangers.list,
            not_ready=self._not_ready,
            enrolled=self._enrolled,
        )

    def _not_ready(self) -> str:
        if not self.feed.connected:
            return "no broker is connected"
        return self._answerer.no_room

    def _enrolled(self) -> None:
        self.registry.forget()
        self.strangers.forget()

    async def run(self, stop: asyncio.Event, ready: Ready) -> None:
        """Run until ``stop`` is set, then stop in order.

        Raises:
            ExceptionGroup: a part failed; the others were stopped.
        """
        supervisor = Supervisor()

        def serving(host: str, port: int) -> None:
            supervisor.tell("READY=1")
            ready(host, port)

        policy = policy_of(self._config.journal)
        async with asyncio.TaskGroup() as tasks:
            ingest = tasks.create_task(self.ingest.run(self._answerer), name="ingest")
            others = [
                tasks.create_task(self.feed.run(), name="mqtt"),
                tasks.create_task(self._forwarders.run(), name="forward"),
                tasks.create_task(
                    run_server(self._config.api, self.services(), self._decoder, on_ready=serving),
                    name="api",
                ),
                tasks.create_task(
                    keep_retention(self._journal, policy, self._clock), name="retention"
                ),
                tasks.create_task(keep_checkpoints(self._journal), name="checkpoints"),
                tasks.create_task(keep_watchdog(supervisor), name="watchdog"),
            ]
            await stop.wait()
            supervisor.tell("STOPPING=1")
            self.ingest.stop()
            done, _ = await asyncio.wait([ingest], timeout=DRAIN_S)
            if not done:
                _log.warning("queued frames were not committed in time; they come again")
            for task in (ingest, *others):
                task.cancel()

    async def close(self) -> None:
        """Let the threads end."""
        await self._workers.close()
        await self._decoder.close()


async def open_journal(config: AggregatorConfig, clock: Clock, random: Random) -> SqliteJournal:
    """Open the configured journal with a thread for writing and one for reading.

    Raises:
        JournalError: it is in use, newer than this program, damaged or not a journal.
    """
    return await SqliteJournal.open(
        config.journal,
        clock=clock,
        random=random,
        writer=ThreadRunner("journal.write"),
        reader=ThreadRunner("journal.read"),
    )


async def run(
    config: AggregatorConfig,
    *,
    stop: asyncio.Event | None = None,
    ready: Ready | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
) -> None:
    """Run an aggregator until SIGTERM, SIGINT or ``stop``.

    Raises:
        WhimbrelError: the key or the journal cannot be used.
        ExceptionGroup: a part failed while running.
    """
    stop = asyncio.Event() if stop is None else stop
    clock = SystemClock() if clock is None else clock
    random = system_random() if random is None else random
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError):  # not the main thread: the caller has `stop`
            loop.add_signal_handler(number, stop.set)
    key = read_key(config.region.key)
    journal = await open_journal(config, clock, random)
    try:
        aggregator = Aggregator(config, journal=journal, key=key, clock=clock, random=random)
        try:
            await aggregator.run(stop, ready or _log_ready(config, journal, key))
        finally:
            await aggregator.close()
        await _last_checkpoint(journal)
    finally:
        await journal.close()
    _log.info("aggregator stopped")


def _log_ready(config: AggregatorConfig, journal: SqliteJournal, key: PrivateKey) -> Ready:
    def ready(host: str, port: int) -> None:
        _log.info(
            "aggregator is ready",
            extra=facts(
                region=config.region.name,
                api=f"{host}:{port}",
                region_key=key.public.to_text(),
                journal=str(journal.path),
                generation=journal.generation.hex(),
            ),
        )

    return ready


async def _last_checkpoint(journal: SqliteJournal) -> None:
    try:
        await journal.checkpoint()
    except JournalError as error:
        _log.warning("the journal's log stays for the next start: %s", error)
