"""The composition root: puts the aggregator together, runs it, and stops it in order.

Order at the end: take nothing more in, commit and answer what is queued (with a deadline),
then stop consumers and links, bring the journal's log home, close it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from whimbrel_aggregator.config import AggregatorConfig
from whimbrel_aggregator.flow.control import FlowControl
from whimbrel_aggregator.flow.keeping import UsageKeeper, keep_counted, keep_fed
from whimbrel_aggregator.flow.limits import limits_of
from whimbrel_aggregator.flow.usagefile import usage_path
from whimbrel_aggregator.forward.running import Forwarders
from whimbrel_aggregator.forward.skipped import skipped_path
from whimbrel_aggregator.housekeeping import (
    keep_checkpoints,
    keep_retention,
    keep_watchdog,
    policy_of,
)
from whimbrel_aggregator.ingest.answers import Answerer
from whimbrel_aggregator.ingest.commit import Committer
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.pipeline import Ingest
from whimbrel_aggregator.ingest.strangers import Strangers
from whimbrel_aggregator.journal.errors import JournalError
from whimbrel_aggregator.journal.sqlite import SqliteJournal
from whimbrel_aggregator.keyfile import read_key
from whimbrel_aggregator.logs import facts
from whimbrel_aggregator.platform import Platform, SystemPlatform
from whimbrel_aggregator.reading import EventReader
from whimbrel_aggregator.registry.devices import Registry
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.supervisor import Supervisor
from whimbrel_protocol.keys import PrivateKey

DRAIN_S: Final = 10.0
"""How long what is queued may take to be committed and answered after a stop was asked for."""

_log = logging.getLogger("whimbrel")

Ready = Callable[[], None]
"""Called once everything runs."""


class Aggregator:
    """One region's aggregator over an open journal. Made by :func:`serve`.

    Attributes:
        api: URL of its HTTP API once it is served.
    """

    def __init__(
        self,
        config: AggregatorConfig,
        *,
        journal: SqliteJournal,
        key: PrivateKey,
        platform: Platform,
        usage: UsageKeeper,
    ) -> None:
        clock, random = platform.clock, platform.random
        self._config = config
        self.journal = journal
        self._platform = platform
        self._clock = clock
        self.api = ""
        self.counters = Counters()
        self.strangers = Strangers(hold_s=config.ingest.hold_s)
        self.registry = Registry(journal)
        self._decoder = platform.runner("decode")
        self._workers = platform.workers(config.ingest.verify_threads, "verify")
        self._reader = EventReader(journal, self._decoder, clock)
        self._usage = usage
        self._limits = limits_of(config.limits)
        self._forwarders = self._make_forwarders()
        self._flow = self._make_flow()
        self.ingest = Ingest(
            config.ingest,
            region=config.region.name,
            enrolments=self.registry,
            committer=Committer(journal, random=random, counters=self.counters),
            workers=self._workers,
            counters=self.counters,
            admits=self._flow.admit,
        )
        self.feed = platform.feed(config, self.ingest.offer, self.counters)
        self._answerer = Answerer(
            config.ingest,
            journal=journal,
            key=key,
            clock=clock,
            counters=self.counters,
            strangers=self.strangers,
            publish=self.feed.publish,
            flow=self._flow,
        )

    def _make_forwarders(self) -> Forwarders:
        return Forwarders(
            self._config.forwards,
            journal=self.journal,
            reader=self._reader,
            runner_for=self._platform.runner,
            clock=self._clock,
            random=self._platform.random,
            skipped=skipped_path(self._config.journal.path),
        )

    def _make_flow(self) -> FlowControl:
        return FlowControl(
            self._config.ingest,
            journal=self.journal,
            clock=self._clock,
            queued_bytes=lambda: self.ingest.queued_bytes,
            routes=self._forwarders.routes,
            limits=self._limits,
            returning=self._config.returning,
            book=self._usage.book,
        )

    def services(self) -> Services:
        """Return what the HTTP API works on."""
        return Services(
            region=self._config.region.name,
            version=version("whimbrel"),
            journal=self.journal,
            reader=self._reader,
            clock=self._clock,
            ingest=self.counters.totals,
            forwarders=self._forwarders.statuses,
            operated=self._forwarders.wake,
            strangers=self.strangers.list,
            not_ready=self._not_ready,
            enrolled=self._enrolled,
            flow=self._flow.figures,
            tenant_usage=lambda: self._usage.book.rows(longest=1),
            usage=self._usage.rows,
            limits=self._limits,
            skipped=self._forwarders.skipped,
        )

    def _not_ready(self) -> str:
        if not self.feed.connected:
            return "no broker is connected"
        return self._flow.no_room

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
            self.api = f"http://{host}:{port}"
            ready()

        policy = policy_of(self._config.journal)
        async with asyncio.TaskGroup() as tasks:
            ingest = tasks.create_task(self.ingest.run(self._answerer), name="ingest")
            others = [
                tasks.create_task(self.feed.run(), name="mqtt"),
                tasks.create_task(self._forwarders.run(), name="forward"),
                tasks.create_task(
                    self._platform.serve_api(
                        self._config.api, self.services(), self._decoder, serving
                    ),
                    name="api",
                ),
                tasks.create_task(
                    keep_retention(self.journal, policy, self._clock), name="retention"
                ),
                tasks.create_task(keep_fed(self._answerer.announce), name="credit"),
                tasks.create_task(keep_counted(self._flow), name="fleet"),
                tasks.create_task(self._usage.run(), name="usage"),
                tasks.create_task(keep_checkpoints(self.journal), name="checkpoints"),
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
        await self._usage.close()
        await self._forwarders.close()
        await self._workers.close()
        await self._decoder.close()


async def open_journal(config: AggregatorConfig, platform: Platform) -> SqliteJournal:
    """Open the configured journal with a runner for writing and one for reading.

    Raises:
        JournalError: it is in use, newer than this program, damaged or not a journal.
    """
    return await SqliteJournal.open(
        config.journal,
        clock=platform.clock,
        random=platform.random,
        writer=platform.runner("journal.write"),
        reader=platform.runner("journal.read"),
    )


async def run(config: AggregatorConfig) -> None:
    """Run an aggregator until SIGTERM or SIGINT.

    Raises:
        WhimbrelError: the key or the journal cannot be used.
        ExceptionGroup: a part failed while running.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(config, stop=stop)


async def serve(
    config: AggregatorConfig,
    *,
    stop: asyncio.Event,
    ready: Callable[[Aggregator], None] = lambda _: None,
    platform: Platform | None = None,
) -> None:
    """Run an aggregator until ``stop`` is set.

    Args:
        config: all settings.
        stop: set it for an orderly stop.
        ready: called once everything runs.
        platform: what it runs on; None means this machine.

    Raises:
        WhimbrelError: the key or the journal cannot be used.
        ExceptionGroup: a part failed while running.
    """
    platform = SystemPlatform() if platform is None else platform
    key = read_key(config.region.key)
    journal = await open_journal(config, platform)
    try:
        usage = UsageKeeper(
            usage_path(config.journal.path), platform.runner("usage"), platform.clock
        )
        await usage.open()
        aggregator = Aggregator(config, journal=journal, key=key, platform=platform, usage=usage)

        def is_ready() -> None:
            _log_ready(aggregator, config, key)
            ready(aggregator)

        try:
            await aggregator.run(stop, is_ready)
        finally:
            await aggregator.close()
        await _last_checkpoint(journal)
    finally:
        await journal.close()
    _log.info("aggregator stopped")


def _log_ready(aggregator: Aggregator, config: AggregatorConfig, key: PrivateKey) -> None:
    journal = aggregator.journal
    _log.info(
        "aggregator is ready",
        extra=facts(
            region=config.region.name,
            api=aggregator.api.removeprefix("http://"),
            region_key=key.public.to_text(),
            journal=str(journal.path),
            generation=journal.generation.hex(),
        ),
    )


async def _last_checkpoint(journal: SqliteJournal) -> None:
    try:
        await journal.checkpoint()
    except JournalError as error:
        _log.warning("the journal's log stays for the next start: %s", error)
