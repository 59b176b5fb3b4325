"""The reference of a drain: a Mosquitto bridge with a queue, one message per event.

Two Mosquitto processes. The near one has a bridge to the far one, which is not running while the
queue is filled (QoS 1, kept in memory). Then the far one starts. The first and the last message of
the queue have topics of their own, for which a client listens at the far broker, so that nothing
but these two is delivered to anybody: the bridge and both brokers have the machine to themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_sim.world import Broker

from .corpora import json_of
from .figures import MakeBroker
from .mqttclient import MqttClient

LEAST_RATE: Final = 8_000
"""A bridge below this is not tuned, or the machine is too busy to compare anything."""

TIMEOUT_S: Final = 600.0

NEAR: Final[Mapping[str, object]] = {
    "max_queued_messages": 0,  # no limit: nothing is dropped
    "max_queued_bytes": 0,
    "max_inflight_messages": 1000,
    "set_tcp_nodelay": "true",
    "log_type": "error",
}
FAR: Final[Mapping[str, object]] = {
    "max_inflight_messages": 1000,
    "max_queued_messages": 0,
    "set_tcp_nodelay": "true",
    "log_type": "error",
}
BRIDGE: Final[Mapping[str, object]] = {
    "connection": "bench",
    "topic": "# out 1",
    "bridge_protocol_version": "mqttv311",
    "cleansession": "false",
    "try_private": "false",
    "notifications": "false",
    "restart_timeout": "1",
}
SETTINGS: Final = (
    "QoS 1, max_inflight_messages 1000, queue unlimited and in memory, set_tcp_nodelay, "
    "nothing logged, persistence off"
)

_FIRST: Final = "bench/first"
_LAST: Final = "bench/last"


@dataclass(frozen=True, slots=True)
class BridgeDrain:
    """What a bridge took to drain its queue."""

    messages: int
    spent_s: float
    payload_bytes: int

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.spent_s


def drain_bridge(make: MakeBroker, folder: Path, events: Sequence[Event]) -> BridgeDrain:
    """Fill a bridge's queue with one message per event while the far broker is down, and drain it.

    Raises:
        MqttClientError: it did not drain.
    """
    far = make(folder / "far", FAR)
    near = make(folder / "near", {**NEAR, **BRIDGE, "address": f"{far.host}:{far.port}"})
    payloads = [json_of(event) for event in events]
    try:
        near.start()
        _fill(near, payloads)
        begin = perf_counter()
        far.start()
        with MqttClient(far.host, far.port, "listener") as listener:
            listener.subscribe([_FIRST, _LAST])
            first = listener.wait_for(_FIRST, timeout_s=TIMEOUT_S)
            last = listener.wait_for(_LAST, timeout_s=TIMEOUT_S)
        assert begin < first < last
    finally:
        near.kill()
        far.kill()
    return BridgeDrain(len(payloads), last - first, sum(map(len, payloads)))


def _fill(near: Broker, payloads: Sequence[bytes]) -> None:
    def named() -> Iterator[tuple[str, bytes]]:
        yield _FIRST, payloads[0]
        for payload in payloads[1:-1]:
            yield "store/events", payload
        yield _LAST, payloads[-1]

    with MqttClient(near.host, near.port, "filler") as filler:
        filler.publish_all(named())
