"""Reads what regions committed and checks it against the senders' books, frame by frame."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import Order
from whimbrel_sim.worlds.books import Books, Sender
from whimbrel_sim.worlds.goods import is_true
from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.witness import Kept, Witness

DIGEST_BYTES = 8
_SUMMARY = "summarycount"
_STANDS_FOR = "edgecount"
_THINNED = 2
_ANY_EPOCH = 0

Report = Callable[[Invariant, str], None]
Arrived = Callable[[Sender, int, str, bytes], None]
"""Is told a sender's event, the device, and the digest of the frame it came in."""


def _unnoticed(sender: Sender, number: int, where: str, digest: bytes) -> None:
    """Take no note: the story expects nothing."""


class RegionAudit:
    """What one region's journal was found to hold."""

    def __init__(self) -> None:
        self.witness: Witness | None = None
        self.digests: dict[str, set[bytes]] = defaultdict(set)
        self.promised: dict[str, set[bytes]] = defaultdict(set)
        self.newest: dict[tuple[str, str, int], int] = {}
        self.frames = 0
        self.read_to: dict[int, int] = {}
        self.unread = ""


class JournalAudit:
    """Checks ONCE, ORDER, FORGERY and READABLE while frames come in; remembers gaps.

    Attributes:
        gaps: by device, epoch and lane: first, count and reason.
        forks: events that stand in frames marked as forks.
        copied: devices of which an older image or a clone ran: what that delivers late is no
            part of the promise of order.
        arrived: is told of every event that is there for the first time.
    """

    def __init__(self, books: Books, report: Report) -> None:
        self._books = books
        self._report = report
        self.regions: dict[str, RegionAudit] = defaultdict(RegionAudit)
        self.gaps: dict[tuple[str, int, str], list[tuple[int, int, int]]] = defaultdict(list)
        self.forks = 0
        self.events = 0
        self.copied: set[str] = set()
        self.arrived: Arrived = _unnoticed
        self._offered_before: dict[str, dict[str, int]] = {}

    def restored(self, region: str) -> None:
        """Know that a region's journal was replaced by a backup.

        Frames of several epochs that were on their way then may still come, and the region cannot
        know that those of an older epoch will be sent again. So what was offered until now is
        held to its order within each epoch; what is offered later, to all of it.
        """
        senders = self._books.senders.values()
        self._offered_before[region] = {one.name: one.offered for one in senders}

    def look(self, region: str, journal: Path) -> bool:
        """Read what came since the last look; say whether all of it could be read."""
        audit = self.regions[region]
        try:
            if audit.witness is None:
                if not journal.exists():
                    return True
                audit.witness = Witness(journal, audit.read_to)
            for kept in audit.witness.new_frames():
                self._take(region, audit, kept)
            audit.unread = ""
        except sqlite3.OperationalError as error:
            audit.unread = str(error)  # its disk is in trouble; the last look must succeed
            self.let_go(region)
        except sqlite3.Error as error:
            self._report(Invariant.READABLE, f"journal of {region}: {error}")
        return not audit.unread

    def let_go(self, region: str) -> None:
        """Close the file: its machine is about to put a copy of it in its place.

        What was read need not be read again: what is committed stays as it is.
        """
        audit = self.regions[region]
        if audit.witness is not None:
            audit.read_to = audit.witness.close()
            audit.witness = None

    def begin_anew(self) -> None:
        """Forget what was read: some journal was replaced, and all are read from their start."""
        for name, audit in list(self.regions.items()):
            self.let_go(name)
            fresh = self.regions[name] = RegionAudit()
            fresh.promised = audit.promised
        for sender in self._books.senders.values():
            sender.forget_seen()
        self.gaps.clear()
        self.forks = self.events = 0

    def finish(self) -> None:
        """Report journals that could not be read to the end."""
        for region, audit in self.regions.items():
            if audit.unread:
                self._report(Invariant.READABLE, f"journal of {region}: {audit.unread}")

    def close(self) -> None:
        """Let go of all files."""
        for name in list(self.regions):
            self.let_go(name)

    # ------------------------------------------------------------------ one frame

    def _take(self, region: str, audit: RegionAudit, kept: Kept) -> None:
        audit.frames += 1
        digest = hashlib.sha256(kept.data).digest()[:DIGEST_BYTES]
        if digest in audit.digests[kept.where]:  # as a fork, too: a fork has other content
            self._report(Invariant.ONCE, f"a frame of {kept.where} is there twice: {digest.hex()}")
        audit.digests[kept.where].add(digest)
        for gap in kept.gaps():
            self.gaps[kept.where, kept.epoch, kept.lane].append(gap)
        try:
            events = kept.events()
        except ProtocolError as error:
            self._report(Invariant.READABLE, f"a frame of {kept.where}: {error}")
            return
        if kept.frame is None:
            self._report(Invariant.READABLE, f"a frame of {kept.where}: {kept.fault}")
            return
        sequences = list(kept.frame.header.sequences())
        if len(sequences) != len(events):  # forged, at the least
            sequences = [0] * len(events)
        for sequence, event in zip(sequences, events, strict=True):
            if _SUMMARY in event.extensions and event.source in self._books.senders:
                # it stands for several: what was accepted in its place is accounted for, as they are
                self.gaps[kept.where, kept.epoch, kept.lane].append((sequence, 1, _THINNED))
                continue
            self._event(region, kept, event, digest)

    def _event(self, region: str, kept: Kept, event: Event, digest: bytes) -> None:
        self.events += 1
        source, number = event.source, event.data.get("n")
        sender = self._books.senders.get(source)
        if sender is not None and sender.ruled:
            if not kept.fork:
                stands_for = event.extensions.get(_STANDS_FOR, 1)
                sender.counted += stands_for if isinstance(stands_for, int) else 1
            if number is None:
                return  # a summary has no raw event's number
        if sender is None or not isinstance(number, int) or not sender.knows(number):
            self._report(Invariant.FORGERY, f"{region} has {source!r} {number!r} of {kept.where}")
            return
        if not is_true(event.data, number):
            self._report(Invariant.FORGERY, f"{source} {number} says what was never offered")
        if kept.fork:
            self.forks += 1
            if not sender.times(number):
                sender.seen(number)
            return
        if sender.seen(number) > 1:
            self._report(Invariant.ONCE, f"{source} {number} is in the journal twice")
        self.arrived(sender, number, kept.where, digest)
        self._check_order(region, kept, sender, number)

    def _check_order(self, region: str, kept: Kept, sender: Sender, number: int) -> None:
        newest, source = self.regions[region].newest, sender.name
        within, across = (kept.where, source, kept.epoch), (kept.where, source, _ANY_EPOCH)
        before = max(newest.get(within, 0), newest.get(across, 0))
        in_order = kept.frame is not None and kept.frame.header.order is Order.IN_ORDER
        ruled = sender.ruled  # a rule may send its events in an order of its own, as top-k does
        if in_order and not ruled and kept.where not in self.copied and number <= before:
            self._report(Invariant.ORDER, f"{source} {number} was committed after {before}")
        newest[within] = max(newest.get(within, 0), number)
        if number > self._offered_before.get(region, {}).get(source, 0):
            newest[across] = max(newest.get(across, 0), number)
