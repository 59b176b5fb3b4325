"""All configured forwarders: built, run side by side, and asked for their state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from whimbrel_aggregator.config import (
    FilesSinkConfig,
    ForwardConfig,
    LadderConfig,
    PostgresSinkConfig,
    WebhookSinkConfig,
)
from whimbrel_aggregator.forward.gate import SinkRunner
from whimbrel_aggregator.forward.ladder import Rungs
from whimbrel_aggregator.forward.port import Sink
from whimbrel_aggregator.forward.selection import Selection
from whimbrel_aggregator.forward.status import ForwarderStatus
from whimbrel_aggregator.forward.thinning import SkippedKeeper, Thinning
from whimbrel_aggregator.forward.worker import Forwarder
from whimbrel_aggregator.journal.port import Journal
from whimbrel_aggregator.ports import Clock, Random, Runner
from whimbrel_aggregator.reading import QUARANTINE, EventReader
from whimbrel_protocol.errors import FieldError


class Forwarders:
    """The forwarders of one aggregator.

    ``runner_for`` gives each sink a thread of its own, so that one whose disk hangs holds up
    nobody else.

    Attributes:
        skipped: what they left out on lower rungs of their ladders.

    Raises:
        FieldError: a name is reserved or a selection can match nothing.
    """

    def __init__(
        self,
        configs: Sequence[ForwardConfig],
        *,
        journal: Journal,
        reader: EventReader,
        runner_for: Callable[[str], Runner],
        clock: Clock,
        random: Random,
        skipped: Path,
    ) -> None:
        self.skipped = SkippedKeeper(skipped, runner_for("skipped"))
        self._runners = {
            config.name: SinkRunner(runner_for(f"forward.{config.name}")) for config in configs
        }
        self._forwarders = [
            Forwarder(
                config.name,
                make_sink(config, self._runners[config.name], clock),
                selection_of(config),
                journal=journal,
                reader=reader,
                clock=clock,
                random=random,
                thinning=Thinning(config.name, rungs_of(config.ladder), self.skipped, clock),
                hang_s=config.hang_s,
                max_backlog_bytes=config.max_backlog_bytes,
                from_newest=config.start == "newest",
            )
            for config in configs
        ]
        self._wakers = {config.name: asyncio.Event() for config in configs}

    def routes(self) -> Sequence[Forwarder]:
        """Return the forwarders as credit looks at them."""
        return self._forwarders

    def statuses(self) -> list[ForwarderStatus]:
        """Return the state of each forwarder, in the order of the configuration."""
        return [forwarder.status for forwarder in self._forwarders]

    def wake(self) -> None:
        """Let stopped forwarders try again: an operator changed something."""
        for waker in self._wakers.values():
            waker.set()

    async def run(self) -> None:
        """Run all until cancelled; one that stops leaves the others alone."""
        async with asyncio.TaskGroup() as group:
            for forwarder in self._forwarders:
                name = forwarder.name
                group.create_task(
                    self._run_again(forwarder, self._wakers[name]), name=f"forward.{name}"
                )

    async def close(self) -> None:
        """Let the sinks' threads end; one that is stuck is left behind."""
        for runner in self._runners.values():
            await runner.close()
        await self.skipped.close()

    async def _run_again(self, forwarder: Forwarder, waker: asyncio.Event) -> None:
        while True:
            waker.clear()
            await forwarder.run()
            await waker.wait()


def rungs_of(config: LadderConfig) -> Rungs:
    """Return the rungs that the settings give a route."""
    return Rungs(
        sampled_after_s=config.sampled_after_s,
        summarised_after_s=config.summarised_after_s,
        store_only_after_s=config.store_only_after_s,
        shed_after_s=config.shed_after_s,
        sample_one_in=config.sample_one_in,
        push_down=config.push_down,
    )


def selection_of(config: ForwardConfig) -> Selection:
    """Return a forwarder's selection, checked.

    Raises:
        FieldError: a pattern can match nothing, or the forwarder's name is reserved.
    """
    where = f"forward.{config.name}"
    if config.name == QUARANTINE:
        raise FieldError(f"{where}.name", config.name, "is reserved for frames nobody can read")
    chosen = config.select
    return Selection.of(
        tenants=chosen.tenants,
        stores=chosen.stores,
        zones=chosen.zones,
        types=chosen.types,
        where=f"{where}.select",
    )


def make_sink(config: ForwardConfig, runner: Runner, clock: Clock) -> Sink:
    """Return the sink that a configuration describes; nothing is opened yet.

    A sink's module is imported only where it is used: each brings a library of its own.
    """
    match config.sink:
        case FilesSinkConfig() as files:
            from whimbrel_aggregator.forward.sinks.files import FilesSink  # noqa: PLC0415

            return FilesSink(
                files.dir,
                rotate_bytes=files.rotate_bytes,
                rotate_s=files.rotate_s,
                runner=runner,
                clock=clock,
            )
        case WebhookSinkConfig() as webhook:
            from whimbrel_aggregator.forward.sinks.webhook import WebhookSink  # noqa: PLC0415

            return WebhookSink(
                webhook.url,
                secret_file=webhook.secret_file,
                batch_events=webhook.batch_events,
                timeout_s=webhook.timeout_s,
                runner=runner,
                clock=clock,
            )
        case PostgresSinkConfig() as postgres:
            from whimbrel_aggregator.forward.sinks.postgres import PostgresSink  # noqa: PLC0415

            return PostgresSink(
                config.name,
                postgres.dsn_file,
                schema=postgres.schema,
                table=postgres.table,
                runner=runner,
            )
