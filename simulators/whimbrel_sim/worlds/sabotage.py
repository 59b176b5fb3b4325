"""Planted faults for worlds: each breaks one promise, and a world must find it.

Where a fault of the real-broker tests (:mod:`whimbrel_sim.sabotage`) is tied to MQTT or to real
time, its world's form is here; the others are taken as they are. A fault is put in with
``patching.applied`` and is gone after the block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from whimbrel_agent.buffer import epochs, holding, opening, windows
from whimbrel_agent.buffer.database import Limits
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_agent.ports import Delivery, LinkFailure
from whimbrel_agent.rules.engine import Batch
from whimbrel_agent.rules.staterows import RuleRow
from whimbrel_agent.uplink.figures import ResumeState
from whimbrel_agent.uplink.former import FormerRegions
from whimbrel_agent.uplink.lanequeue import LaneQueue
from whimbrel_agent.uplink.session import Session
from whimbrel_agent.uplink.shell import Uplink
from whimbrel_agent.uplink.values import Effect, Now
from whimbrel_aggregator.ingest import commit, verdict
from whimbrel_aggregator.ingest.admission import (
    Enrolment,
    Parsed,
    ParsedFrame,
    ParsedResume,
    Refusal,
    Refused,
)
from whimbrel_aggregator.ingest.pipeline import Checked, Ingest
from whimbrel_aggregator.ingest.receipts import Settled
from whimbrel_aggregator.ingest.verdict import Candidate, Decision
from whimbrel_aggregator.journal.port import NewFrame
from whimbrel_protocol import epoch
from whimbrel_protocol.columns import computing, following, ordering, writing
from whimbrel_protocol.lanes import Order
from whimbrel_protocol.sequences import RangeSet
from whimbrel_sim import sabotage_agent, sabotage_aggregator
from whimbrel_sim.patching import put

from . import plantedstories as stories
from .device import WorldLink
from .invariants.violation import Invariant

CAP_FACTOR: Final = 3
"""How much larger than the cap "cap ignored" lets a buffer become."""

NEVER_S: Final = 1e6
"""Longer than a world goes on."""


# ---------------------------------------------------------------------- of the protocol


def tables_believed() -> None:
    """What a dictionary's tables say holds, whatever an event says."""
    put(following, "is_same", lambda *_: True)


def formulas_believed() -> None:
    """What a dictionary's formulas say holds, whatever an event says."""
    computations = computing.computations

    def as_computed(*given: Any, **named: Any) -> dict[int, computing.Computation]:
        found = computations(*given, **named)
        return {place: replace(one, left=[0] * len(one.left)) for place, one in found.items()}

    put(writing, "computations", as_computed)


def times_believed() -> None:
    """Events come in the order of their times, whatever the order in which they were accepted."""
    put(ordering, "_swaps", lambda *_: [])


# ---------------------------------------------------------------------- of the region


def any_order() -> None:
    """Commit the frames of an in-order lane as they come."""
    unsettled = verdict._unsettled  # noqa: SLF001

    def as_they_come(candidate: Candidate, ranges: RangeSet) -> Decision:
        return unsettled(replace(candidate, order=Order.LIVE_FIRST), ranges)

    put(verdict, "_unsettled", as_they_come)


def signatures_off() -> None:
    """Take what devices are said to have signed without looking at the signature."""
    admitted = Ingest._admitted  # noqa: SLF001

    def believe(ingest: Ingest, parsed: Parsed, enrolment: Enrolment | None) -> Checked:
        answer = admitted(ingest, parsed, enrolment)
        forged = isinstance(answer, Refused) and answer.refusal is Refusal.SIGNATURE
        if forged and isinstance(parsed, ParsedFrame | ParsedResume):
            return parsed
        return answer

    put(Ingest, "_admitted", believe)


def garbled_commits() -> None:
    """Commit frames with a byte of their end changed."""
    new_frame = commit._new_frame  # noqa: SLF001

    def garbled(settled: Settled) -> NewFrame:
        frame = new_frame(settled)
        return replace(
            frame, data=frame.data[:-100] + bytes([frame.data[-100] ^ 1]) + frame.data[-99:]
        )

    put(commit, "_new_frame", garbled)


# ---------------------------------------------------------------------- of the agent


def free_on_puback() -> None:
    """Take the broker's word for the region's: the world's broker acknowledges everything."""
    publish = WorldLink.publish

    async def publish_and_hear(link: WorldLink, topic: str, payload: bytes) -> None:
        await publish(link, topic, payload)
        link._inbox.append(Delivery(sabotage_agent.PUBACK, payload, retained=False))  # noqa: SLF001
        link._changed.set()  # noqa: SLF001

    put(WorldLink, "publish", publish_and_hear)
    sabotage_agent.believe_pubacks()


def staging_without_commit() -> None:
    """Answer when a group is written, commit when it suits, in the world's time."""
    sabotage_agent.staging_without_commit(lambda: asyncio.get_running_loop().time())


def receipts_without_digest() -> None:
    """Match receipts without their digests, on cards whose copies draw the same epochs."""

    def same_epoch(ordinal: int, random_bits: int) -> int:
        del random_bits
        return epoch.make_epoch(ordinal, 0x5EED)

    put(epochs, "make_epoch", same_epoch)
    sabotage_agent.receipts_without_digest()


def cap_ignored() -> None:
    """Let buffers grow to a multiple of their cap."""
    limits_for = opening.limits_for

    def wider(config: BufferConfig, **given: int) -> Limits:
        return limits_for(replace(config, max_bytes=CAP_FACTOR * config.max_bytes), **given)

    put(opening, "limits_for", wider)


def window_never_ends() -> None:
    """Keep in memory what a lane's durability window says must be on the disk."""
    put(holding, "is_overdue", lambda *_: False)
    put(windows, "write_by_ns", lambda *_: 2**62)
    put(windows, "deadline_ns", lambda *_: 2**62)


def window_not_accounted() -> None:
    """Say nothing of what a crash took of such a lane."""
    put(opening, "account_unsynced", lambda _: None)


def no_asking_after_a_loss() -> None:
    """Ask for a resume after every loss of a link, but never send the question."""
    link_lost, ask = Session._link_lost, Session._ask  # noqa: SLF001

    def lost(session: Session, failure: LinkFailure, message: str, now: Now) -> None:
        link_lost(session, failure, message, now)
        session._resume = ResumeState.NEEDED  # noqa: SLF001

    def ask_unless_lost(session: Session, now: Now) -> list[Effect]:
        if not session.counts.values()["links_lost"]:
            return ask(session, now)
        session._asking.at_s = now.mono_s + NEVER_S  # noqa: SLF001
        return []

    put(Session, "_link_lost", lost)
    put(Session, "_ask", ask_unless_lost)


def corner_breaks() -> None:
    """Break where the shell takes note of a lost link."""

    def lost(uplink: Uplink, link: object, error: Exception) -> None:
        del uplink, link
        raise KeyError(f"planted: {error}")

    put(Uplink, "_lost", lost)


def former_region_forgotten() -> None:
    """Leave what was accepted before a move to another region where it is."""

    async def forget(regions: FormerRegions) -> None:
        del regions

    put(FormerRegions, "run", forget)


def rules_in_memory() -> None:
    """Answer for what rules hold back, and keep none of it on the card."""

    def forgotten(batch: Batch) -> Iterator[tuple[int, RuleRow | None]]:
        del batch
        yield from ()

    put(Batch, "rows", forgotten)


def backlog_first() -> None:
    """Let a live-first lane send its backlog before anything that is new."""
    next_track = LaneQueue._next_track  # noqa: SLF001

    def oldest(queue: LaneQueue, *, new_only: bool = False) -> object:
        queue._oldest_first = len(queue._tracks) > 1  # noqa: SLF001
        return next_track(queue, new_only=new_only)

    put(LaneQueue, "_next_track", oldest)


# ---------------------------------------------------------------------- where each is found


@dataclass(frozen=True, slots=True)
class WorldSabotage:
    """One planted fault, and the worlds that find it.

    Attributes:
        name: for people.
        breaks: a world that finds it reports a breach of each of these.
        apply: puts it in.
        story: a scenario's text; without the fault its worlds are sound.
        seeds: one of the seeds from 1 to this finds it; about three times what was measured.
    """

    name: str
    breaks: frozenset[Invariant]
    apply: Callable[[], None]
    story: str
    seeds: int


def _fault(
    name: str, apply: Callable[[], None], story: str, *breaks: Invariant, seeds: int = 3
) -> WorldSabotage:
    return WorldSabotage(name, frozenset(breaks), apply, story, seeds)


SABOTAGES: Final = (
    _fault("dedup-off", sabotage_aggregator.dedup_off, stories.LYING_BROKER, Invariant.ONCE),
    _fault(
        "receipt-before-commit", sabotage_aggregator.receipt_before_commit, stories.KILLS,
        Invariant.RECEIPT, seeds=6,
    ),
    _fault("garbled-commits", garbled_commits, stories.CUTS, Invariant.READABLE, Invariant.RECEIPT),
    _fault("dictionaries-forgotten", sabotage_aggregator.dictionaries_forgotten, stories.LEARNING, Invariant.READABLE),
    _fault("tables-believed", tables_believed, stories.LEARNING, Invariant.FORGERY),
    _fault("formulas-believed", formulas_believed, stories.LEARNING, Invariant.FORGERY),
    _fault("times-believed", times_believed, stories.LEARNING, Invariant.ORDER),
    _fault("any-order", any_order, stories.LYING_BROKER, Invariant.ORDER),
    _fault("signatures-off", signatures_off, stories.NEIGHBOUR, Invariant.FORGERY),
    _fault("free-on-puback", free_on_puback, stories.LYING_BROKER, Invariant.KEPT),
    _fault("staging-without-commit", staging_without_commit, stories.KILLS, Invariant.KEPT),
    _fault("no-resume", sabotage_agent.no_resume, stories.BACKUP, Invariant.KEPT, Invariant.PROGRESS),
    _fault(
        "receipts-without-digest", receipts_without_digest, stories.CLONE,
        Invariant.KEPT, Invariant.SOUND, seeds=33,
    ),
    _fault("window-never-ends", window_never_ends, stories.WEAR, Invariant.WINDOW),
    _fault("window-not-accounted", window_not_accounted, stories.WEAR, Invariant.KEPT),
    _fault("cap-ignored", cap_ignored, stories.OFFLINE, Invariant.BOUNDED),
    _fault("former-region-forgotten", former_region_forgotten, stories.MOVE, Invariant.KEPT),
    _fault("no-asking-after-a-loss", no_asking_after_a_loss, stories.CUTS, Invariant.STARVED),
    _fault("corner-breaks", corner_breaks, stories.CUTS, Invariant.ALIVE),
    _fault("rules-in-memory", rules_in_memory, stories.RULED, Invariant.COUNTED),
    _fault("backlog-first", backlog_first, stories.BACKLOG, Invariant.TIMELY),
)  # fmt: skip
