"""A million events sealed during an outage, drained by real processes to committed and receipted.

The agent has every intake on (HTTP, Unix socket, topics of a local broker, the machine's metrics)
and its default settings. The broker of the uplink is down while the backlog is built. Then
aggregator and broker start; the clock runs from the agent's word on the new link that the region heard (its
resume) to the receipt of the last frame. Where the agent came to the broker before the region it asks again 3 s
later, and the first word does not count. That the agent then has nothing pending, and the journal
everything, is checked. The same run gives the agent's highest memory, and, afterwards, the
processor time that it takes while it is connected and idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event as Moment
from time import perf_counter
from typing import Final

from whimbrel_protocol.envelope import open_message
from whimbrel_protocol.event import Event
from whimbrel_protocol.messages import Receipt
from whimbrel_protocol.topics import down_topic, resume_topic
from whimbrel_sim.journalfile import count_events
from whimbrel_sim.storemix import store_events
from whimbrel_sim.world import Broker

from .bridge import LEAST_RATE, SETTINGS, BridgeDrain, drain_bridge
from .corpora import MIX_SEED, intake_line
from .figures import Bench, Better, Key, Measurement, Reading
from .kernel import MEBIBYTE, cpu_s_of, memory_of
from .mqttclient import MqttClient
from .plant import LANE, Plant, every_intake
from .posting import bodies_of, by_socket, by_tcp, post_all

BODY: Final = 200
BLOCK: Final = 50_000
"""Events whose bodies are prepared at once."""

MQTT_EVENTS: Final = 2_000
LINK_TIMEOUT_S: Final = 180.0
"""The agent's longest wait between two tries, and then some."""

DRAIN_TIMEOUT_S: Final = 600.0
IDLE_S: Final = 60.0
SETTLE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Drain:
    """What the drain of a backlog took, to the last receipt and to the agent's empty account."""

    events: int
    spent_s: float
    freed_s: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.spent_s


class DrainError(Exception):
    """The journal does not hold what was accepted."""


def measure(bench: Bench) -> list[Reading]:
    """Build the backlog, drain it, leave the agent idle; then drain the reference."""
    assert bench.mosquitto is not None
    local = bench.mosquitto(bench.folder / "local", {"log_type": "error", "max_queued_messages": 0})
    try:
        local.start()
        with Plant(bench.folder, bench.mosquitto, settings=every_intake(local)) as plant:
            built_s = _build(bench, plant, local, bench.size(1_000_000, 5_000))
            before = memory_of(plant.agent.program.pid)
            drain = _drain(plant)
            bench.say(f"drained {drain.events:,} events in {drain.spent_s:.2f} s")
            idle = _idle_percent(plant, IDLE_S if not bench.quick else 1.0)
            peak = memory_of(plant.agent.program.pid)
    finally:
        local.kill()
    count = bench.size(200_000, 5_000)
    events = list(store_events(MIX_SEED, count))
    listened = drain_bridge(bench.mosquitto, bench.folder / "bridge", events, listen=True)
    bench.say(f"bridge with a consumer: {listened.rate:,.0f} messages/s")
    unread = drain_bridge(bench.mosquitto, bench.folder / "unread", events, listen=False)
    bench.say(f"bridge that nobody listens to: {unread.rate:,.0f} messages/s")
    return [
        Reading(
            "drain_events_per_s",
            drain.rate,
            f"{drain.events:,} events in {drain.spent_s:.2f} s, built in {built_s:.0f} s while the uplink "
            f"was down; the agent had freed them all after {drain.freed_s:.2f} s",
        ),
        _against("drain_vs_mosquitto_bridge", drain, listened, "to a paho client at QoS 1"),
        _against("drain_vs_mosquitto_bridge.unread", drain, unread, "that nobody listens to"),
        Reading(
            "agent_rss_mb",
            peak.peak_bytes / MEBIBYTE,
            f"every intake on, MQTT without TLS; {peak.peak_bytes / 1e6:.1f} million bytes; highest before the drain "
            f"{before.peak_bytes / MEBIBYTE:.1f}, "
            f"idle at the end {peak.now_bytes / MEBIBYTE:.1f}",
        ),
        Reading("agent_idle_cpu_percent", idle, f"connected, every intake on, {IDLE_S:.0f} s"),
    ]


def _build(bench: Bench, plant: Plant, local: Broker, count: int) -> float:
    """Post a backlog through every intake and wait until it is sealed."""
    begin = perf_counter()
    source = store_events(MIX_SEED, count)
    connects = [by_tcp(plant.agent.port), by_socket(plant.agent.folder / "intake.sock")]
    with MqttClient(local.host, local.port, "shop") as shop:
        shop.publish_all(_shop_messages(min(MQTT_EVENTS, count)))
    for number, block in enumerate(_blocks(source)):
        post_all(connects[number % len(connects)], bodies_of(block, BODY), connections=2)
        bench.say(f"{(number + 1) * BLOCK:,} events posted, {perf_counter() - begin:.0f} s")
    plant.wait(plant.is_sealed, 60.0, "the last frame to be sealed")
    return perf_counter() - begin


def _blocks(source: Iterator[Event]) -> Iterator[list[Event]]:
    block: list[Event] = []
    for event in source:
        block.append(event)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _shop_messages(count: int) -> Iterator[tuple[str, bytes]]:
    for event in store_events(MIX_SEED + 1, count):
        yield f"shop/{event.source}", intake_line(event)


def _drain(plant: Plant) -> Drain:
    """Bring the link back and take the time until all is settled."""
    address = plant.agent.address
    resume = resume_topic(address)
    receipts = down_topic(address.tenant, address.store, address.device, "receipt")
    pending = plant.account()["pending"]
    plant.region.program.start()
    plant.uplink.start()
    with MqttClient(plant.uplink.host, plant.uplink.port, "stopwatch") as stopwatch:
        stopwatch.subscribe([resume, receipts])
        begin = stopwatch.wait_for(resume, timeout_s=LINK_TIMEOUT_S)
        settled: dict[tuple[int, str, int], int] = {}
        for packet in stopwatch.messages(timeout_s=DRAIN_TIMEOUT_S):
            if packet.topic == resume and not settled:
                begin = perf_counter()
            if packet.topic == receipts:
                settled |= _spans(packet.payload, LANE)
                if sum(settled.values()) >= pending:
                    break
        spent_s = perf_counter() - begin
    plant.wait(plant.is_settled, DRAIN_TIMEOUT_S, "the agent to settle its backlog")
    freed_s = perf_counter() - begin
    committed = count_events(plant.region.journal_file)
    if committed < pending:
        raise DrainError(f"{pending} events were pending, the journal has {committed}")
    return Drain(pending, spent_s, freed_s)


def _spans(payload: bytes, lane: str) -> dict[tuple[int, str, int], int]:
    receipt = open_message(payload).message
    assert isinstance(receipt, Receipt)
    return {
        (entry.epoch, entry.lane, entry.first): entry.span
        for entry in receipt.entries
        if entry.lane == lane
    }


def _idle_percent(plant: Plant, seconds: float) -> float:
    """Leave the agent alone and return its processor time in percent of one core."""
    pause = Moment()
    pause.wait(SETTLE_S)
    pid = plant.agent.program.pid
    begin, before_s = perf_counter(), cpu_s_of(pid)
    pause.wait(seconds)
    return 100 * (cpu_s_of(pid) - before_s) / (perf_counter() - begin)


def _against(key: str, drain: Drain, bridge: BridgeDrain, whom: str) -> Reading:
    said = f"Mosquitto bridge {whom}: {bridge.rate:,.0f} messages/s, one per event; {SETTINGS}"
    if bridge.rate < LEAST_RATE:
        return Reading(key, None, f"not reported, too slow to compare: {said}")
    return Reading(key, drain.rate / bridge.rate, said)


MEASUREMENTS: Final = (
    Measurement(
        name="drain",
        keys=(
            Key("drain_events_per_s", "events/s", Better.HIGHER, portable=False),
            Key("drain_vs_mosquitto_bridge", "ratio", Better.HIGHER, 30),
            Key("drain_vs_mosquitto_bridge.unread", "ratio", Better.HIGHER),
            Key("agent_rss_mb", "MiB", Better.LOWER, 40),
            Key("agent_idle_cpu_percent", "% of a core", Better.LOWER, 0.5),
        ),
        measure=measure,
        needs_mosquitto=True,
    ),
)
