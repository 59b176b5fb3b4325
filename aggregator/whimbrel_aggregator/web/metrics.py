"""Figures for Prometheus, in a registry of its own, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from whimbrel_aggregator.flow.control import FlowFigures
from whimbrel_aggregator.flow.usage import UsageRow
from whimbrel_aggregator.forward.breaker import BreakerState
from whimbrel_aggregator.forward.ladder import Rung
from whimbrel_aggregator.forward.status import ForwarderStatus
from whimbrel_aggregator.journal.port import ConsumerCursor, JournalSize
from whimbrel_aggregator.services import Services

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_STATES: Final = ("starting", "running", "retrying", "stopped")


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading of everything that is exposed."""

    version: str
    region: str
    ready: bool
    size: JournalSize
    partitions: int
    frames: int
    devices: int
    cursors: Sequence[ConsumerCursor]
    ingest: Mapping[str, int]
    forwarders: Sequence[ForwarderStatus]
    unreadable: int
    flow: FlowFigures | None
    usage: Sequence[UsageRow]


async def read_figures(services: Services) -> Figures:
    """Read all figures now."""
    states = await services.journal.partitions()
    devices = await services.journal.devices()
    return Figures(
        version=services.version,
        region=services.region,
        ready=not services.not_ready(),
        size=await services.journal.size(),
        partitions=len(states),
        frames=sum(state.head - state.oldest + 1 for state in states),
        devices=sum(device.removed_ns is None for device in devices),
        cursors=await services.journal.cursors(),
        ingest=services.ingest(),
        forwarders=services.forwarders(),
        unreadable=services.reader.unreadable_frames,
        flow=services.flow(),
        usage=services.tenant_usage(),
    )


def exposition(figures: Figures) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Reading(figures))
    return generate_latest(registry)


class _Reading(Collector):
    """One reading as metrics."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures
        yield InfoMetricFamily(
            "whimbrel_build",
            "Version and region of this aggregator.",
            {"version": figures.version, "region": figures.region},
        )
        yield _gauge("whimbrel_ready", "Whether events can be taken now.", figures.ready)
        yield from self._journal()
        yield from self._ingest()
        yield from self._forwarders()
        yield from self._flow()
        yield from self._usage()

    def _journal(self) -> Iterable[Metric]:
        size = self._figures.size
        yield _gauge("whimbrel_journal_used_bytes", "Bytes towards the cap.", size.used_bytes)
        yield _gauge("whimbrel_journal_max_bytes", "The journal's byte cap.", size.max_bytes)
        yield _gauge("whimbrel_journal_file_bytes", "Bytes the files take.", size.file_bytes)
        yield _gauge(
            "whimbrel_journal_disk_free_bytes", "Bytes free on its disk.", size.disk_free_bytes
        )
        yield _gauge("whimbrel_journal_full", "Whether nothing can be appended.", bool(size.full))
        yield _gauge(
            "whimbrel_journal_partitions", "Partitions (tenant, store).", self._figures.partitions
        )
        yield _gauge("whimbrel_journal_frames", "Frames that are kept.", self._figures.frames)
        yield _gauge("whimbrel_devices", "Devices that are enrolled.", self._figures.devices)
        yield CounterMetricFamily(
            "whimbrel_unreadable_frames",
            "Committed frames whose columns could not be decoded.",
            value=self._figures.unreadable,
        )

    def _ingest(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "whimbrel_ingest", "What ingest counted, by kind, since the start.", labels=["kind"]
        )
        for kind, count in sorted(self._figures.ingest.items()):
            family.add_metric([kind], count)
        yield family

    def _forwarders(self) -> Iterable[Metric]:
        delivered = CounterMetricFamily(
            "whimbrel_forward_delivered_events", "Events delivered.", labels=["forwarder"]
        )
        parked = CounterMetricFamily(
            "whimbrel_forward_parked_events", "Events that a sink refused.", labels=["forwarder"]
        )
        retries = CounterMetricFamily(
            "whimbrel_forward_retries", "Deliveries to be repeated.", labels=["forwarder"]
        )
        state = GaugeMetricFamily(
            "whimbrel_forward_state", "1 for the present state.", labels=["forwarder", "state"]
        )
        lag = GaugeMetricFamily(
            "whimbrel_forward_lag_frames", "Frames not handled yet.", labels=["forwarder"]
        )
        for status in self._figures.forwarders:
            delivered.add_metric([status.name], status.delivered)
            parked.add_metric([status.name], status.parked)
            retries.add_metric([status.name], status.retries)
            lag.add_metric([status.name], status.lag_frames)
            for name in _STATES:
                state.add_metric([status.name, name], float(status.state == name))
        yield from (delivered, parked, retries, state, lag)
        yield from self._backlogs()

    def _backlogs(self) -> Iterable[Metric]:
        size = GaugeMetricFamily(
            "whimbrel_forward_lag_bytes", "About so many bytes of them.", labels=["forwarder"]
        )
        age = GaugeMetricFamily(
            "whimbrel_forward_lag_seconds", "Age of the oldest of them.", labels=["forwarder"]
        )
        breaker = GaugeMetricFamily(
            "whimbrel_forward_breaker",
            "1 for the state of the sink's breaker.",
            labels=["forwarder", "state"],
        )
        opened = CounterMetricFamily(
            "whimbrel_forward_breaker_opened", "Times that it opened.", labels=["forwarder"]
        )
        skipped = CounterMetricFamily(
            "whimbrel_forward_skipped_events",
            "Events in frames of which not all was forwarded, on a lower rung.",
            labels=["forwarder"],
        )
        rung = GaugeMetricFamily(
            "whimbrel_forward_rung",
            "1 for the rung of its ladder on which the route stands.",
            labels=["forwarder", "rung"],
        )
        for status in self._figures.forwarders:
            skipped.add_metric([status.name], status.skipped_events)
            for one in Rung:
                rung.add_metric([status.name, one.value], float(status.rung is one))
            size.add_metric([status.name], status.backlog.size_bytes)
            age.add_metric([status.name], status.backlog.age_s)
            opened.add_metric([status.name], status.breaker_opened)
            for state in BreakerState:
                breaker.add_metric([status.name, state.value], float(status.breaker is state))
        yield from (size, age, breaker, opened, skipped, rung)

    def _flow(self) -> Iterable[Metric]:
        flow = self._figures.flow
        if flow is None:
            return
        yield _gauge(
            "whimbrel_credit_bytes",
            "What a device may have in flight that no route and no limit concerns.",
            flow.grant.size_bytes,
        )
        holding = GaugeMetricFamily(
            "whimbrel_forward_holds_devices",
            "Whether the forwarder holds devices back.",
            labels=["forwarder"],
        )
        for status in self._figures.forwarders:
            holding.add_metric([status.name], float(status.name in flow.holding))
        yield holding
        yield _gauge(
            "whimbrel_starved_devices", "Devices told that there is no credit.", flow.starved
        )
        back = flow.returning
        yield _gauge("whimbrel_returning_devices", "Devices that wait to start.", back.waiting)
        yield _gauge(
            "whimbrel_returning_seconds", "Until the last of them may start.", back.last_start_s
        )
        yield CounterMetricFamily(
            "whimbrel_device_starts", "Starts of devices that were away.", value=back.started
        )

    def _usage(self) -> Iterable[Metric]:
        # stores and devices are too many for labels: the API has them
        texts = {"frames": "Frames", "events": "Events", "bytes": "Bytes"}
        for key, text in texts.items():
            family = GaugeMetricFamily(
                f"whimbrel_usage_{key}",
                f"{text} committed for a tenant in this month (UTC).",
                labels=["tenant"],
            )
            for row in self._figures.usage:
                if len(row.scope) == 1:
                    family.add_metric([row.scope[0]], _counts(row)[key])
            yield family


def _counts(row: UsageRow) -> dict[str, int]:
    return {
        "frames": row.usage.frames,
        "events": row.usage.events,
        "bytes": row.usage.size_bytes,
    }


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
