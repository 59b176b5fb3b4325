"""The MQTT intake: joins a local broker as a client and acknowledges only what is durable.

The session is persistent and the acknowledgement manual, so a message that was received and not
committed when the agent died comes again. One that was committed and not acknowledged comes
again too, marked as a repetition, and is recognised as far as ``redelivery`` can. A message that is no
event is counted and acknowledged; it would come back for ever otherwise.

Retained messages that a broker sends at each subscription are the past and not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import paho.mqtt.client as paho

from whimbrel_agent.brokers import BrokerUrl
from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import (
    AcceptError,
    BufferFullError,
    GroupTooBigError,
    TooManyWaitingError,
)
from whimbrel_agent.config import MqttIntakeConfig
from whimbrel_agent.intake.redelivery import REMEMBERED, Redelivery, Seen
from whimbrel_agent.intake.topicrules import message_event, rule_for
from whimbrel_agent.logs import Streak
from whimbrel_agent.ports import Clock, LinkFailure, Random, TransportError
from whimbrel_agent.uplink.backoff import Backoff
from whimbrel_agent.uplink.brokerclient import BrokerClient
from whimbrel_agent.uplink.dialing import (
    LINK_ERRORS,
    BrokerError,
    Dial,
    dial_to,
    transport_error,
)
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event
from whimbrel_protocol.names import Address

__all__ = ["MqttIntake"]

GROUP_MESSAGES: Final = REMEMBERED
"""Messages committed together: a kill between the commit and its acknowledgements leaves no more
repetitions than are remembered exactly."""

MAX_WAITING_MESSAGES: Final = 500
"""Received and not taken yet; then the socket is read no more until a group is left, and TCP holds
the broker back. Some brokers send all they have without waiting for acknowledgements."""

FULL_WAIT_S: Final = 1.0
"""A buffer without room is asked again when it frees something, and after this at the latest: a
disk also gets room from others. Meanwhile the broker keeps the messages."""

CLOSE_TIMEOUT_S: Final = 2.0
"""A goodbye waits so long for a socket that takes no more bytes. The session stays at the broker,
with what is not acknowledged."""

_CHECKPOINT: Final = "mqtt-intake"
_QOS: Final = 1
_REFUSED_SUBSCRIPTION: Final = 0x80
_MAX_SHOWN: Final = 80

_log: Final = logging.getLogger(__name__)

_Taken = tuple[Event | None, Seen | None]
"""A message's event, and what to remember of it."""


class _Client(BrokerClient):
    """A connection with manual acknowledgement and a bounded inbox."""

    def __init__(self, dial: Dial) -> None:
        super().__init__(dial)
        self.inbox: deque[paho.MQTTMessage] = deque()
        self.changed = asyncio.Event()
        self._waiting = False
        self._client.manual_ack_set(True)
        self._client.on_message = self._take
        self.ended.add_done_callback(lambda _: self.changed.set())

    def acknowledge(self, message: paho.MQTTMessage) -> None:
        """Send the PUBACK; nothing for QoS 0."""
        self._client.ack(message.mid, message.qos)

    def resume(self) -> None:
        """Read on after a pause, once only a group of messages waits."""
        if self._waiting and len(self.inbox) <= GROUP_MESSAGES:
            self._waiting = False
            self.resume_reading()

    def _take(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self.inbox.append(message)
        self.changed.set()
        if len(self.inbox) >= MAX_WAITING_MESSAGES and not self._waiting:
            self._waiting = True
            self.pause_reading()


class MqttIntake:
    """Takes events from topics of a local broker.

    Args:
        config: broker, access, topics.
        buffer: where events are kept.
        address: makes the client id, which must stay the same for the session to go on.
        clock: gives the events' times.
        random: for the waits between attempts.
    """

    def __init__(
        self,
        config: MqttIntakeConfig,
        buffer: Buffer,
        address: Address,
        *,
        clock: Clock,
        random: Random,
    ) -> None:
        self._config = config
        self._buffer = buffer
        self._clock = clock
        self._backoff = Backoff(1, random)
        self._streak = Streak(_log)
        self._bad = Streak(_log)
        self._redelivery = Redelivery()
        self.client_id = f"wb-intake-{address.tenant}-{address.store}-{address.device}"
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Connect, take messages, connect again; until cancelled.

        Raises:
            BufferBrokenError: the buffer must be opened anew.
        """
        while True:
            # anew for each connection: what the last one's end cut short may be durable after all
            self._redelivery = Redelivery(await self._buffer.checkpoint(_CHECKPOINT) or b"")
            begun_s = self._now_s()
            try:
                await self._serve()
            except TransportError as error:
                lived_s = self._now_s() - begun_s
                wait_s = self._backoff.failed(
                    0, error.failure, lived_s=lived_s, now_s=self._now_s()
                )
                self.counters["links_failed"] += 1
                self._streak.failed("local broker is away", why=str(error))
                await asyncio.sleep(wait_s)

    async def _serve(self) -> None:
        """Run one connection to its end, which is always a TransportError."""
        url = self._config.broker
        loop = asyncio.get_running_loop()
        dial = await loop.run_in_executor(None, partial(dial_to, url, self._config.access))
        client = _Client(replace(dial, clean_session=False, client_id=self.client_id))
        try:
            await client.open()
            # messages of an older session come before the answer to the subscription
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_all(client), name="intake.mqtt.take")
                await self._subscribe(client)
                self.counters["links_made"] += 1
                self._streak.recovered("local broker is connected", broker=str(url))
        except BaseExceptionGroup as errors:
            raise _only(errors, url) from errors
        except LINK_ERRORS as error:
            raise transport_error(error, url) from error
        finally:
            await client.close(CLOSE_TIMEOUT_S)

    async def _subscribe(self, client: _Client) -> None:
        filters = [(rule.filter, _QOS) for rule in self._config.topics]
        granted = await client.subscribe(filters)
        for (topic_filter, _), code in zip(filters, granted, strict=True):
            if code >= _REFUSED_SUBSCRIPTION:
                raise TransportError(
                    LinkFailure.UNAUTHORISED,
                    f"{self._config.broker}: subscription to {topic_filter} was refused",
                )

    async def _take_all(self, client: _Client) -> None:
        while True:
            while client.inbox:
                count = min(GROUP_MESSAGES, len(client.inbox))
                group = [client.inbox.popleft() for _ in range(count)]
                await self._commit(group)
                for message in group:
                    client.acknowledge(message)
                client.resume()
            if client.ended.done():
                client.ended.result()  # raises what broke it
                raise BrokerError("connection was closed")
            client.changed.clear()
            await client.changed.wait()

    async def _commit(self, group: Sequence[paho.MQTTMessage]) -> None:
        """Make a group durable; returns when every message of it may be acknowledged."""
        await self._accept([(self._event(message), self._new(message)) for message in group])

    async def _accept(self, taken: Sequence[_Taken]) -> None:
        events = [event for event, _ in taken if event is not None]
        after = self._redelivery.after([seen for _, seen in taken if seen is not None])
        while events:
            freed = self._buffer.next_freeing()
            try:
                accepted = await self._buffer.accept(events, checkpoint=(_CHECKPOINT, after.pack()))
            except AcceptError as exc:
                self._count_bad(events.pop(exc.index).source, exc.error)
            except GroupTooBigError:
                # one event always fits, so halves end somewhere
                middle = len(taken) // 2
                await self._accept(taken[:middle])
                await self._accept(taken[middle:])
                return
            except (BufferFullError, TooManyWaitingError) as exc:
                self.counters["waits"] += 1
                self._streak.failed("messages wait at the broker", why=str(exc))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FULL_WAIT_S):
                        await freed.wait()
            else:
                self.counters["events"] += len(accepted)
                break
        self._redelivery = after

    def _new(self, message: paho.MQTTMessage) -> Seen | None:
        """Give what to remember of a message; None at QoS 0, or when it was committed before."""
        return _seen(message) if message.qos and not self._is_known(message) else None

    def _is_known(self, message: paho.MQTTMessage) -> bool:
        return message.dup and self._redelivery.committed(_seen(message))

    def _event(self, message: paho.MQTTMessage) -> Event | None:
        self.counters["messages"] += 1
        if message.retain:
            self.counters["retained"] += 1
            return None
        if self._is_known(message):
            self.counters["repeated"] += 1
            return None
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._count_bad("?", FieldError("topic", "bytes", "must be UTF-8"))
            return None
        rule = rule_for(topic, self._config.topics)
        if rule is None:
            # a session keeps the subscriptions of an older configuration
            self.counters["unwanted"] += 1
            return None
        try:
            return message_event(topic, bytes(message.payload), rule, self._clock.wall_ns())
        except FieldError as exc:
            self._count_bad(topic, exc)
            return None

    def _count_bad(self, topic: str, error: FieldError) -> None:
        self.counters["bad"] += 1
        self.counters[f"bad_{error.field.partition('.')[0][:_MAX_SHOWN]}"] += 1
        self._bad.failed("message is no event", topic=topic[:_MAX_SHOWN], why=str(error))

    def _now_s(self) -> float:
        return self._clock.mono_ns() / 1e9


def _seen(message: paho.MQTTMessage) -> Seen:
    # the topic's bytes as they came: they may not be UTF-8
    return Seen.of(message.mid, message._topic, bytes(message.payload))  # noqa: SLF001


def _only(errors: BaseExceptionGroup[BaseException], url: BrokerUrl) -> BaseException:
    """Give the one error behind a failed group, as the transport's where it is the link's."""
    first = errors.exceptions[0]
    if isinstance(first, LINK_ERRORS):
        return transport_error(first, url)
    return first
