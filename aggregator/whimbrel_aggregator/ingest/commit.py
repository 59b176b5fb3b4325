"""Deciding and committing a group of frames: one durable append, then the verdicts stand.

Heads are read before the streams are, so that whatever a rival writer changes in between
makes the append conflict. A group that met a conflict, or a full journal, is judged again
without what could not be committed: duplicates must get their receipts even then.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from whimbrel_aggregator.journal.lru import LruDict
from whimbrel_aggregator.journal.port import (
    Append,
    AppendResult,
    Conflict,
    DeviceKey,
    DeviceUpdate,
    Journal,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    NewFrame,
    PartitionKey,
    StreamKey,
    StreamUpdate,
    Unknown,
)
from whimbrel_aggregator.journal.values import OP_ID_BYTES
from whimbrel_aggregator.ports import Random
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.messages import DictionaryStatus
from whimbrel_protocol.names import Address

from .admission import ParsedFrame, device_key_of
from .counters import Counters
from .receipts import Settled
from .verdict import FOLD_TO_STREAMS, Decision, Lookup, Verdict, View, decide

MAX_ATTEMPTS: Final = 4
"""Times a group is judged; what is left then is dropped, and sent again by its devices."""

SEEN_EVERY_NS: Final = 60_000_000_000
"""How often "last heard" of a device is written: it costs a row in a commit that happens anyway."""

REMEMBERED_DEVICES: Final = 20_000

_log = logging.getLogger("whimbrel.ingest")


REMEMBERED_DICTIONARIES: Final = 20_000
"""Of which no look into the journal is needed, since only :meth:`Committer.keep` lets any go."""

DictionaryWord = tuple[Address, bytes, DictionaryStatus]
"""What a device is told about a dictionary."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A dictionary that a device gave, its signature checked."""

    address: Address
    dictionary: Dictionary
    needed: bool


@dataclass(slots=True)
class GroupResult:
    """What became of a group: verdicts that stand, frames that found no room, dictionaries."""

    settled: list[Settled] = field(default_factory=list)
    no_room: list[ParsedFrame] = field(default_factory=list)
    dictionaries: list[DictionaryWord] = field(default_factory=list)


class Committer:
    """Brings groups of admitted, verified frames into the journal, one group at a time."""

    def __init__(self, journal: Journal, *, random: Random, counters: Counters) -> None:
        self._journal = journal
        self._random = random
        self._counters = counters
        self._seen: LruDict[DeviceKey, int] = LruDict(REMEMBERED_DEVICES)
        self._kept: LruDict[tuple[DeviceKey, bytes], bool] = LruDict(REMEMBERED_DICTIONARIES)

    async def keep(self, offers: Sequence[Offered]) -> list[DictionaryWord]:
        """Keep dictionaries; what is said to be kept is durable. One that failed has no word."""
        words: list[DictionaryWord] = []
        for one in offers:
            device, dictionary = device_key_of(one.address), one.dictionary
            try:
                kept = await self._journal.keep_dictionary(
                    device, dictionary.content, needed=one.needed
                )
            except JournalError as error:
                _log.error("a dictionary of %s is not kept: %s", device, error)
                continue
            self._kept.clear()  # another one may have gone to make room
            self._counters.add("dictionaries_kept" if kept else "dictionaries_no_room")
            status = DictionaryStatus.KEPT if kept else DictionaryStatus.NO_ROOM
            words.append((one.address, dictionary.name, status))
        return words

    async def commit(self, frames: Sequence[ParsedFrame]) -> GroupResult:
        """Judge and commit a group. What it returns as settled is durable.

        Frames that could not be brought in are counted and left out: they get no receipt.
        """
        result = GroupResult()
        try:
            await self._commit(list(frames), result)
        except JournalDamagedError as error:
            await self._apart(frames, result, error)
        except JournalError as error:
            self._counters.add("dropped_journal_failed", len(frames))
            _log.error("journal failed: %s", error)
        for settled in result.settled:
            self._count(settled)
        return result

    async def _apart(
        self, frames: Sequence[ParsedFrame], result: GroupResult, error: JournalError
    ) -> None:
        """Go on device by device: a damaged row must not stop the others."""
        by_device: dict[DeviceKey, list[ParsedFrame]] = {}
        for frame in frames:
            by_device.setdefault(frame.candidate.key.device_key, []).append(frame)
        for device, own in by_device.items():
            if len(by_device) > 1:
                try:
                    await self._commit(own, result)
                    continue
                except JournalError as own_error:
                    error = own_error
            self._counters.add("dropped_journal_damaged", len(own))
            _log.error("frames of %s cannot be committed: %s", device, error)

    async def _commit(self, frames: list[ParsedFrame], result: GroupResult) -> None:
        for _ in range(MAX_ATTEMPTS):
            frames = await self._attempt(frames, result)
            if not frames:
                return
        self._counters.add("dropped_conflict", len(frames))

    async def _attempt(self, frames: list[ParsedFrame], result: GroupResult) -> list[ParsedFrame]:
        """Judge and append once; return the frames to be judged again."""
        keys = list(dict.fromkeys(frame.candidate.key for frame in frames))
        partitions = list(dict.fromkeys(key.partition for key in keys))
        heads = dict(zip(partitions, await self._journal.heads(partitions), strict=True))
        view = await self._view(frames, keys)
        judged = []
        for frame in frames:
            decision = await self._decide(frame, view)
            if decision.commits:
                view.commit(frame.candidate, decision)
            judged.append(Settled(frame, decision))
        appends = self._appends(judged, view, heads)
        try:
            results = await self._journal.append(appends) if appends else []
        except JournalFullError as error:
            refused = [one.frame for one in judged if one.decision.commits]
            self._counters.add("dropped_journal_full", len(refused))
            result.no_room += refused
            _log.debug("nothing can be committed: %s", error)
            return [one.frame for one in judged if not one.decision.commits]
        again = await self._not_committed(appends, results)
        result.settled += [one for one in judged if one.frame.candidate.key.partition not in again]
        return [one.frame for one in judged if one.frame.candidate.key.partition in again]

    async def _not_committed(
        self, appends: list[Append], results: list[AppendResult]
    ) -> set[PartitionKey]:
        """Return the partitions whose append did not take place."""
        lost = set()
        for append, answer in zip(appends, results, strict=True):
            outcome = answer
            if isinstance(outcome, Unknown):
                _log.warning("append to %s is in doubt: %s", append.partition, outcome.why)
                outcome = await self._journal.outcome(append.partition, append.op_id)
            if isinstance(outcome, Conflict):
                lost.add(append.partition)
        return lost

    async def _view(self, frames: list[ParsedFrame], keys: list[StreamKey]) -> View:
        """Read in a few calls what most verdicts of the group will need."""
        view = View()
        records = await self._journal.streams(keys)
        view.know_streams(
            (key, None if record is None else record.ranges)
            for key, record in zip(keys, records, strict=True)
        )
        new = list(dict.fromkeys(key.device_key for key in keys if view.streams[key] is None))
        if new:
            states = await self._journal.device_states(new)
            view.devices.update(zip(new, states, strict=True))
        wanted = []
        for frame in frames:
            candidate = frame.candidate
            ranges = view.streams[candidate.key]
            if ranges is not None and ranges.overlaps(candidate.first, candidate.last):
                wanted.append((candidate.key, candidate.first, candidate.last))
        if wanted:
            view.kept.update(zip(wanted, await self._journal.find(wanted), strict=True))
        return view

    async def _decide(self, frame: ParsedFrame, view: View) -> Decision:
        while True:
            answer = decide(frame.candidate, view)
            if isinstance(answer, Decision):
                return answer
            await self._look_up(answer, view)

    async def _look_up(self, wanted: Lookup, view: View) -> None:
        if wanted.stream is not None:
            (record,) = await self._journal.streams([wanted.stream])
            view.streams[wanted.stream] = None if record is None else record.ranges
        if wanted.kept is not None:
            (view.kept[wanted.kept],) = await self._journal.find([wanted.kept])
        if wanted.dictionary is not None:
            view.dictionaries[wanted.dictionary] = await self._is_kept(wanted.dictionary)
        if wanted.fold is not None:
            await self._journal.fold(wanted.fold, FOLD_TO_STREAMS)
            self._counters.add("epochs_folded")
            view.folded.add(wanted.fold)
        device = wanted.device or wanted.fold
        if device is not None:
            (view.devices[device],) = await self._journal.device_states([device])

    async def _is_kept(self, named: tuple[DeviceKey, bytes]) -> bool:
        if self._kept.get(named) is None:
            (content,) = await self._journal.dictionaries([named])
            if content is None:
                return False
            self._kept.put(named, True)
        return True

    def _appends(
        self, judged: list[Settled], view: View, heads: dict[PartitionKey, int]
    ) -> list[Append]:
        frames: dict[PartitionKey, list[NewFrame]] = {}
        streams: dict[PartitionKey, list[StreamUpdate]] = {}
        touched: dict[DeviceKey, DeviceUpdate] = {}
        for one in judged:
            if one.decision.commits:
                frames.setdefault(one.decision.key.partition, []).append(_new_frame(one))
                self._touch(touched, one)
        for key, ranges in view.changed.items():
            streams.setdefault(key.partition, []).append(StreamUpdate(key, ranges))
        devices: dict[PartitionKey, list[DeviceUpdate]] = {}
        for device, update in touched.items():
            devices.setdefault(device.partition, []).append(update)
        return [
            Append(
                partition=partition,
                op_id=self._random.randbytes(OP_ID_BYTES),
                expected_head=heads[partition],
                frames=tuple(own),
                streams=tuple(streams[partition]),
                devices=tuple(devices.get(partition, ())),
            )
            for partition, own in frames.items()
        ]

    def _touch(self, devices: dict[DeviceKey, DeviceUpdate], one: Settled) -> None:
        key = one.decision.key.device_key
        forked = one.decision.verdict is Verdict.FORK
        now_ns = one.frame.received_ns
        last_ns = self._seen.get(key)
        due = last_ns is None or now_ns - last_ns >= SEEN_EVERY_NS
        if not forked and not due:
            return
        known = devices.get(key, DeviceUpdate(key=key))
        devices[key] = DeviceUpdate(key=key, forks=known.forks + forked, seen_ns=now_ns)
        self._seen.put(key, now_ns)

    def _count(self, settled: Settled) -> None:
        counters, candidate = self._counters, settled.frame.candidate
        counters.add(settled.decision.verdict.value)
        if settled.decision.commits:
            counters.add("events_committed", candidate.count)
            counters.add("bytes_committed", len(settled.frame.signed.data))
            counters.add("sequences_gapped", candidate.span - candidate.count)
        if settled.decision.verdict is Verdict.FORK:
            _log.warning(
                "fork: %s sent other content for %s %s..%s of epoch %#x; a cloned card or a "
                "restored image",
                settled.frame.address,
                candidate.key.lane,
                candidate.first,
                candidate.last,
                candidate.key.epoch,
            )


def _new_frame(settled: Settled) -> NewFrame:
    frame, decision = settled.frame, settled.decision
    candidate, header = frame.candidate, frame.header
    return NewFrame(
        key=decision.key,
        first=candidate.first,
        span=candidate.span,
        count=candidate.count,
        digest=candidate.digest,
        received_ns=frame.received_ns,
        data=frame.signed.data,
        dictionary=candidate.dictionary,
        reason=candidate.reason,
        time_min_ns=0 if header is None else header.time_min_ns,
        time_max_ns=0 if header is None else header.time_max_ns,
        zones=() if header is None else header.zones,
        fork=decision.verdict is Verdict.FORK,
    )
