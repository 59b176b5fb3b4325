"""The reference of a drain: a Mosquitto bridge with a queue, one message per event.

Two Mosquitto processes. The near one has a bridge to the far one, which is not running while the
queue is filled (QoS 1, kept in memory). Then the far one starts. Two ways to look at it:

* A program takes every event at the far broker, as an aggregator does, at QoS 1, since without
  receipts of its own it has nothing else to rely on. It is paho, the library under the
  aggregator's own client, and does nothing but count.
* Nobody takes them. The first and the last message of the queue have topics of their own, for which
  a client listens, so that the bridge and both brokers have the machine to themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Moment
from time import perf_counter
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from whimbrel_protocol.event import Event
from whimbrel_sim.world import Broker

from .corpora import json_of
from .figures import MakeBroker
from .mqttclient import MqttClient, MqttClientError

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

_TOPIC: Final = "store/events"
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


def drain_bridge(
    make: MakeBroker, folder: Path, events: Sequence[Event], *, listen: bool
) -> BridgeDrain:
    """Fill a bridge's queue with one message per event while the far broker is down, and drain it.

    ``listen``: a program takes every message at the far broker.

    Raises:
        MqttClientError: it did not drain.
    """
    far = make(folder / "far", FAR)
    near = make(folder / "near", {**NEAR, **BRIDGE, "address": f"{far.host}:{far.port}"})
    payloads = [json_of(event) for event in events]
    try:
        near.start()
        _fill(near, payloads)
        far.start()
        spent_s = _listened_s(far, len(payloads)) if listen else _unread_s(far)
    finally:
        near.kill()
        far.kill()
    return BridgeDrain(len(payloads), spent_s, sum(map(len, payloads)))


def _fill(near: Broker, payloads: Sequence[bytes]) -> None:
    def named() -> Iterator[tuple[str, bytes]]:
        yield _FIRST, payloads[0]
        for payload in payloads[1:-1]:
            yield _TOPIC, payload
        yield _LAST, payloads[-1]

    with MqttClient(near.host, near.port, "filler") as filler:
        filler.publish_all(named())


def _unread_s(far: Broker) -> float:
    with MqttClient(far.host, far.port, "listener") as listener:
        listener.subscribe([_FIRST, _LAST])
        first = listener.wait_for(_FIRST, timeout_s=TIMEOUT_S)
        return listener.wait_for(_LAST, timeout_s=TIMEOUT_S) - first


def _listened_s(far: Broker, count: int) -> float:
    """Take every message with paho at QoS 1 and return the time from the first to the last."""
    times: list[float] = []
    done = Moment()
    taken = 0

    def take(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        nonlocal taken
        taken += 1
        if message.topic in (_FIRST, _LAST):
            times.append(perf_counter())
        if message.topic == _LAST:
            done.set()

    client = paho.Client(CallbackAPIVersion.VERSION2, "listener")
    client.on_message = take
    client.connect(far.host, far.port)
    client.subscribe("#", qos=1)
    client.loop_start()
    try:
        if not done.wait(TIMEOUT_S) or taken < count:
            raise MqttClientError(f"{taken} of {count} messages came in {TIMEOUT_S:g} s")
    finally:
        client.disconnect()
        client.loop_stop()
    return times[-1] - times[0]
