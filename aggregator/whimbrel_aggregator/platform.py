"""What an aggregator stands on: clocks, chance, threads, the broker's feed, the API's socket.

The composition root builds everything else from this; simulated worlds bring one of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from whimbrel_aggregator.clock import SystemClock, system_random
from whimbrel_aggregator.config import AggregatorConfig, ApiConfig
from whimbrel_aggregator.ingest.admission import Delivery
from whimbrel_aggregator.ingest.counters import Counters
from whimbrel_aggregator.ingest.mqtt import MqttFeed
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.ports import Clock, Feed, Random, Runner, Workers
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web.server import run_server
from whimbrel_aggregator.workers import ThreadWorkers

__all__ = ["Platform", "SystemPlatform"]


class Platform(Protocol):
    """Gives the composition root its ports."""

    @property
    def clock(self) -> Clock:
        """The region's clocks."""
        ...

    @property
    def random(self) -> Random:
        """The process's chance."""
        ...

    def runner(self, name: str) -> Runner:
        """Return where blocking work of one kind runs, in order."""
        ...

    def workers(self, threads: int, name: str) -> Workers:
        """Return where one function runs over many values."""
        ...

    def feed(
        self, config: AggregatorConfig, offer: Callable[[Delivery], bool], counters: Counters
    ) -> Feed:
        """Return the way from and to the brokers; it gives ``offer`` what comes."""
        ...

    async def serve_api(
        self,
        config: ApiConfig,
        services: Services,
        runner: Runner,
        on_ready: Callable[[str, int], None],
    ) -> None:
        """Serve the HTTP API until cancelled; see :func:`run_server`."""
        ...


class SystemPlatform:
    """This machine."""

    def __init__(self, clock: Clock | None = None, random: Random | None = None) -> None:
        self.clock = SystemClock() if clock is None else clock
        self.random = system_random() if random is None else random

    def runner(self, name: str) -> Runner:
        """Return a thread of its own."""
        return ThreadRunner(name)

    def workers(self, threads: int, name: str) -> Workers:
        """Return so many threads."""
        return ThreadWorkers(threads, name)

    def feed(
        self, config: AggregatorConfig, offer: Callable[[Delivery], bool], counters: Counters
    ) -> Feed:
        """Return MQTT to the configured brokers."""
        return MqttFeed(
            config.broker,
            region=config.region.name,
            offer=offer,
            clock=self.clock,
            random=self.random,
            counters=counters,
        )

    async def serve_api(
        self,
        config: ApiConfig,
        services: Services,
        runner: Runner,
        on_ready: Callable[[str, int], None],
    ) -> None:
        """Listen on the configured address."""
        await run_server(config, services, runner, on_ready=on_ready)
