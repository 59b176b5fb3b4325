"""Planted faults of the agent. See :mod:`.sabotage`."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import paho.mqtt.client as paho

from whimbrel_agent.buffer import epochs, settling
from whimbrel_agent.buffer.database import Database
from whimbrel_agent.buffer.frames import find_pending
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.ports import Delivery
from whimbrel_agent.uplink import lanequeue, outbox
from whimbrel_agent.uplink.figures import ResumeState
from whimbrel_agent.uplink.lanequeue import FrameKey
from whimbrel_agent.uplink.mqtt import _PipelinedClient
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.values import Arrived, Effect, Now
from whimbrel_protocol import epoch
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANE_NUMBERS
from whimbrel_protocol.messages import Credit, Receipt, ReceiptEntry, Status

from .patching import put

LATE_COMMIT_S: Final = 0.7
"""How long "staging without commit" lets answered events wait."""

PUBACK: Final = "puback"
"""The topic of a delivery that is one; no broker's topic."""


def staging_without_commit(now_s: Callable[[], float] = time.monotonic) -> None:  # noqa: TID251
    """Answer when a group is written, commit when it suits; worlds bring their own time."""
    committed_s = 0.0

    @contextmanager
    def transaction(database: Database, **_: object) -> Iterator[sqlite3.Connection]:
        nonlocal committed_s
        connection = database.connection
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        yield connection
        if now_s() - committed_s > LATE_COMMIT_S:
            connection.execute("COMMIT")
            committed_s = now_s()

    checkpoint = Database.checkpoint

    def checkpoint_after_commit(database: Database, mode: str = "PASSIVE") -> None:
        if database.connection.in_transaction:
            database.connection.execute("COMMIT")
        checkpoint(database, mode)

    put(Database, "transaction", transaction)
    put(Database, "checkpoint", checkpoint_after_commit)


def no_resume() -> None:
    """Publish at once; believe the first receipt's generation; never ask."""
    begin, take = Session.__init__, Session._receipt  # noqa: SLF001

    def __init__(session: Session, **ports: Any) -> None:  # noqa: N807
        begin(session, **ports)
        session._resume = ResumeState.DONE  # noqa: SLF001
        session._heard_s = math.inf  # noqa: SLF001  no silence that it would ask about

    def receipt(session: Session, receipt: Receipt, now: Now) -> list[Effect]:
        session._generation = receipt.generation  # noqa: SLF001
        return take(session, receipt, now)

    put(Session, "__init__", __init__)
    put(Session, "_receipt", receipt)
    put(Session, "_ask_again", _ask_nothing)
    put(Session, "_ask", _ask_nothing)


def _ask_nothing(*_: object) -> list[Effect]:
    """Stand in for the session's ways to a resume."""
    return []


def receipts_without_digest() -> None:
    """Match receipts by epoch, lane, first and span alone."""
    settle_entry = settling._settle_entry  # noqa: SLF001

    def key_of(frame: Any) -> FrameKey:
        return (frame.epoch, frame.first, frame.span, b"")

    def settle_any(
        state: BufferState, connection: sqlite3.Connection, receipt: Receipt,
        entry: ReceiptEntry, tally: settling.Tally,
    ) -> None:  # fmt: skip
        lane = LANE_NUMBERS[entry.lane]
        row = find_pending(state, connection, entry.epoch, lane, entry.first)
        if row is not None:
            entry = replace(entry, digest=row.digest)
        settle_entry(state, connection, receipt, entry, tally)

    put(lanequeue, "key_of", key_of)
    put(outbox, "key_of", key_of)
    put(settling, "_settle_entry", settle_any)


def free_on_puback() -> None:
    """Take the broker's acknowledgement of a frame as if the region had committed it."""

    def publish_now(client: _PipelinedClient, topic: str, payload: bytes, qos: int = 1) -> None:
        info = client._client.publish(topic, payload, qos)  # noqa: SLF001
        own: dict[int, bytes] = client.__dict__.setdefault("sabotage_own", {})
        own[info.mid] = payload
        acknowledge = client._client.on_publish  # noqa: SLF001
        if "sabotage_listening" in client.__dict__:
            return
        client.__dict__["sabotage_listening"] = True

        def on_publish(paho_client: paho.Client, userdata: Any, mid: int, *rest: Any) -> None:
            if acknowledge is not None:
                acknowledge(paho_client, userdata, mid, *rest)
            client.inbox.append(Delivery(PUBACK, own.pop(mid, b""), retained=False))
            client.changed.set()

        client._client.on_publish = on_publish  # noqa: SLF001

    put(_PipelinedClient, "publish_now", publish_now)
    believe_pubacks()


def believe_pubacks() -> None:
    """Let a session take a delivery under :data:`PUBACK` for a receipt of the frame in it."""
    arrived = Session._arrived  # noqa: SLF001

    def believe(session: Session, event: Arrived, now: Now) -> list[Effect]:
        if event.delivery.topic != PUBACK:
            return arrived(session, event, now)
        receipt = _as_receipt(event.delivery.payload, session._generation, now)  # noqa: SLF001
        return [] if receipt is None else session._receipt(receipt, now)  # noqa: SLF001

    put(Session, "_arrived", believe)


def _as_receipt(payload: bytes, generation: bytes, now: Now) -> Receipt | None:
    try:
        frame = open_frame(payload)
    except ProtocolError:
        return None  # a resume or a birth
    header = frame.header
    entry = ReceiptEntry(
        header.epoch, header.lane, header.first, header.span, frame.digest, Status.COMMITTED
    )
    return Receipt(
        header.address, generation, (entry,), now.wall_ns, now.wall_ns, Credit(2**20, 60)
    )


def same_entropy() -> None:
    """Let the process's first epoch have fixed random bits, as in a copied virtual machine."""
    make_epoch = epoch.make_epoch
    first = True

    def copied(ordinal: int, random_bits: int) -> int:
        nonlocal first
        bits, first = (0x5EED if first else random_bits), False
        return make_epoch(ordinal, bits)

    put(epochs, "make_epoch", copied)
