from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from committed.journal import START_NS, address, event
from committed.receiver import Receiver
from whimbrel_aggregator.forward.port import Batch, SinkConfigError
from whimbrel_aggregator.forward.sinks.webhook import (
    MAX_ANSWER_BYTES,
    MAX_BODY_BYTES,
    WebhookSink,
    idempotency_key,
    sign,
)
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.journal.runner import ThreadRunner
from whimbrel_aggregator.reading import CommittedEvent, Position
from whimbrel_protocol.lanes import ClockQuality


class FixedClock:
    """A clock that stands at START_NS."""

    boot_id = ""

    def wall_ns(self) -> int:
        return START_NS

    def mono_ns(self) -> int:
        return 0


def committed(number: int, **fields: Any) -> CommittedEvent:
    one = event(number, **fields)
    return CommittedEvent(
        event=one,
        id=one.dedup_key or f"id-{number}",
        address=address(),
        epoch=5,
        sequence=number,
        position=Position(1, number),
        received_ns=START_NS,
        clock=ClockQuality.SYNCED,
        fork=False,
    )


def batch(*given: CommittedEvent) -> Batch:
    return Batch(
        partition=PartitionKey("acme", "store-1"),
        generation=b"g" * 8,
        events=given,
        next=Position(2),
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def sink(
    receiver: Receiver, runner: ThreadRunner, tmp_path: Path
) -> AsyncIterator[WebhookSink]:
    secret_file = tmp_path / "secrets"
    secret_file.write_text("new secret\nold secret\n")
    secret_file.chmod(0o600)
    made = WebhookSink(
        receiver.url,
        secret_file=secret_file,
        batch_events=500,
        timeout_s=2,
        runner=runner,
        clock=FixedClock(),
    )
    await made.open(b"g" * 8)
    yield made
    await made.close()


async def test_requests_are_signed_with_every_secret(receiver: Receiver, sink: WebhookSink) -> None:
    await sink.deliver(batch(committed(1), committed(2)))
    [(headers, body)] = receiver.requests
    stamp_s = START_NS // 10**9
    stamp, *digests = headers["Whimbrel-Signature"].split(",")
    assert stamp == f"t={stamp_s}"
    assert digests == [
        "v1=" + hmac.new(secret, b"%d.%s" % (stamp_s, body), hashlib.sha256).hexdigest()
        for secret in (b"new secret", b"old secret")
    ]
    assert headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"


def test_a_signature_depends_on_body_time_and_secret() -> None:
    signatures = {
        sign(body, stamp_s, [secret])
        for body in (b"a", b"b")
        for stamp_s in (1, 2)
        for secret in (b"x", b"y")
    }
    assert len(signatures) == 8


async def test_the_idempotency_key_is_the_events_id_and_stays_over_retries(
    receiver: Receiver, sink: WebhookSink
) -> None:
    one = committed(1, dedup_key="sale 17/é")
    assert idempotency_key([one]) == "sale%2017/%C3%A9"
    receiver.broken = 1
    two = batch(one, committed(2))
    assert (await sink.deliver(two)).retry is not None
    assert (await sink.deliver(two)).settled == 2
    keys = [headers["Idempotency-Key"] for headers, _ in receiver.requests]
    assert keys[0] == keys[1]
    assert keys[0].startswith("sha256-")
    bodies = [json.loads(body) for _, body in receiver.requests]
    assert [one["id"] for one in bodies[0]] == [one["id"] for one in bodies[1]]


async def test_only_the_events_that_are_refused_are_poison(
    receiver: Receiver, sink: WebhookSink
) -> None:
    receiver.behave = lambda _request, events: (
        web.Response(status=400, text="no elevens")
        if any(one["data"]["number"] % 11 == 0 for one in events)
        else None
    )
    outcome = await sink.deliver(batch(*(committed(number) for number in range(1, 101))))
    assert outcome.settled == 100
    assert [one.event.sequence for one in outcome.poison] == list(range(11, 100, 11))
    assert outcome.poison[0].answer == "400: no elevens"
    accepted = [one["data"]["number"] for one in receiver.accepted]
    assert accepted == [number for number in range(1, 101) if number % 11]


async def test_trouble_in_the_middle_of_halving_keeps_what_is_settled(
    receiver: Receiver, sink: WebhookSink
) -> None:
    def behave(_: web.Request, events: list[dict[str, Any]]) -> web.Response | None:
        numbers = [one["data"]["number"] for one in events]
        if 2 in numbers:
            return web.Response(status=422)
        return web.Response(status=503) if 4 in numbers else None

    receiver.behave = behave
    outcome = await sink.deliver(batch(*(committed(number) for number in range(1, 5))))
    assert outcome.settled == 2
    assert [one.event.sequence for one in outcome.poison] == [2]
    assert (outcome.retry or "").startswith("receiver answered 503")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 301, 304])
async def test_answers_about_the_moment_are_retried(
    receiver: Receiver, sink: WebhookSink, status: int
) -> None:
    headers = {"Retry-After": "17", "Location": "http://127.0.0.1:1/elsewhere"}
    receiver.behave = lambda _request, _events: web.Response(status=status, headers=headers)
    outcome = await sink.deliver(batch(committed(1)))
    assert (outcome.settled, outcome.poison, outcome.wish_s) == (0, (), 17.0)
    assert str(status) in (outcome.retry or "")
    assert len(receiver.requests) == 1


async def test_retry_after_may_be_a_date(receiver: Receiver, sink: WebhookSink) -> None:
    date = formatdate(START_NS / 10**9 + 90, usegmt=True)
    receiver.behave = lambda _request, _events: web.Response(
        status=503, headers={"Retry-After": date}
    )
    assert (await sink.deliver(batch(committed(1)))).wish_s == 90.0


async def test_a_nonsense_retry_after_is_no_wish(receiver: Receiver, sink: WebhookSink) -> None:
    receiver.behave = lambda _request, _events: web.Response(
        status=503, headers={"Retry-After": "soon"}
    )
    assert (await sink.deliver(batch(committed(1)))).wish_s is None


async def test_an_endless_answer_is_cut_off(receiver: Receiver, sink: WebhookSink) -> None:
    receiver.behave = lambda _request, _events: web.Response(status=422, text="x" * 5_000_000)
    outcome = await sink.deliver(batch(committed(1)))
    assert len(outcome.poison[0].answer) <= MAX_ANSWER_BYTES + len("422: ")


async def test_long_batches_go_in_several_requests(receiver: Receiver, sink: WebhookSink) -> None:
    big = [committed(number, data={"number": number, "text": "x" * 60_000}) for number in range(40)]
    outcome = await sink.deliver(batch(*big))
    assert outcome.settled == 40
    assert all(len(body) <= MAX_BODY_BYTES + 2 for _, body in receiver.requests)
    assert [one["data"]["number"] for one in receiver.accepted] == list(range(40))


async def test_a_secret_that_others_can_read_stops_the_forwarder(
    runner: ThreadRunner, tmp_path: Path
) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text("hush")
    secret_file.chmod(0o644)
    sink = WebhookSink(
        "http://127.0.0.1:1/",
        secret_file=secret_file,
        batch_events=1,
        timeout_s=1,
        runner=runner,
        clock=FixedClock(),
    )
    with pytest.raises(SinkConfigError, match="chmod 600") as caught:
        await sink.open(b"")
    assert "hush" not in str(caught.value)
