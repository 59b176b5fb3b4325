"""Writing a new journal from what was saved of a damaged one, through the usual writing path."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Final, TypeVar

from . import consumers, enrolment
from .carving import Found
from .dictionaries import keep_dictionary
from .identities import DeviceRow, Identities
from .placement import Placed, Placement
from .remains import Remains
from .rows import row_crc
from .storage import Storage
from .values import (
    OP_ID_BYTES,
    Append,
    Committed,
    DeviceKey,
    EnrolledDevice,
    NewFrame,
    PartitionKey,
    StreamUpdate,
)
from .writing import append_group

BATCH_FRAMES: Final = 256
BATCH_STREAMS: Final = 2_000
_UNREADABLE: Final = "unreadable"
"""The consumer that damaged rows were parked under."""

T = TypeVar("T")
ReadFrame = Callable[[Found], bytes]
Progress = Callable[[int, int], None]


class Rebuilder:
    """Fills a new, empty journal."""

    def __init__(
        self,
        storage: Storage,
        remains: Remains,
        placement: Placement,
        dictionaries: Mapping[tuple[int, bytes], bytes],
    ) -> None:
        self._dictionaries = dictionaries
        self._kept: set[tuple[DeviceKey, bytes]] = set()
        self._storage = storage
        self._remains = remains
        self._placement = placement
        self._heads: dict[PartitionKey, int] = {}
        self._operations = 0

    def build(self, read: ReadFrame, progress: Progress) -> None:
        """Write everything.

        Args:
            read: gives a frame's bytes.
            progress: called with frames written and frames in all.
        """
        self._storage.write(self._write_devices)
        self._storage.write(self._write_dictionaries)
        total = sum(map(len, self._placement.frames.values()))
        done = 0
        for partition, placed in self._placement.frames.items():
            for batch in _batches(_received(placed), BATCH_FRAMES):
                frames = [self._readable(replace(one.frame, data=read(one))) for one in batch]
                self._append(partition, frames, ())
                done += len(frames)
                progress(done, total)
        settled = sorted(self._placement.settled.items(), key=lambda one: one[0])
        for partition, streams in groupby(settled, key=lambda one: one[0].partition):
            updates = (StreamUpdate(key, ranges) for key, ranges in streams)
            for part in _batches(updates, BATCH_STREAMS):
                self._append(partition, (), part)
        self._storage.write(self._write_consumers)

    def _append(
        self,
        partition: PartitionKey,
        frames: Sequence[NewFrame],
        streams: Sequence[StreamUpdate],
    ) -> None:
        self._operations += 1
        append = Append(
            partition=partition,
            op_id=self._operations.to_bytes(OP_ID_BYTES, "big"),
            expected_head=self._heads.get(partition, 0),
            frames=tuple(frames),
            streams=tuple(streams),
        )
        (result,) = self._storage.write(
            lambda connection, ids: append_group(connection, ids, [append])
        )
        assert isinstance(result, Committed)  # nobody else writes to this file
        self._heads[partition] = result.head

    # ---- devices

    def _write_devices(self, connection: sqlite3.Connection, ids: Identities) -> None:
        for old in sorted(self._remains.devices.values(), key=lambda row: row.id):
            if old.enrolled_ns is not None:
                enrolment.enrol(connection, ids, _enrolled(old, self._remains.keys.get(old.id, [])))
            row = ids.make_device(old.key)
            row.removed_ns, row.epoch_floor = old.removed_ns, old.epoch_floor
            row.forks, row.seen_ns = old.forks, old.seen_ns
            row.save(connection)

    # ---- dictionaries

    def _write_dictionaries(self, connection: sqlite3.Connection, ids: Identities) -> None:
        """Keep what frames name, and what devices were told is kept as far as there is room."""
        by_name = {name: content for (_, name), content in self._dictionaries.items()}
        wanted = [
            (one.found.frame.key.device_key, one.found.frame.dictionary)
            for placed in self._placement.frames.values()
            for one in placed
            if one.found.frame.dictionary in by_name
        ]
        for number, name in self._dictionaries:
            if number in self._remains.devices:
                wanted.append((self._remains.devices[number].key, name))
        for device, name in dict.fromkeys(wanted):
            if keep_dictionary(connection, ids, device, by_name[name], needed=True):
                self._kept.add((device, name))

    def _readable(self, frame: NewFrame) -> NewFrame:
        if not frame.dictionary or (frame.key.device_key, frame.dictionary) in self._kept:
            return frame
        self._placement.without_dictionary += 1
        return replace(frame, dictionary=b"")

    # ---- consumers

    def _write_consumers(self, connection: sqlite3.Connection, ids: Identities) -> None:
        """Carry cursors over to the new offsets; they stay bound to the old generation."""
        for name, attached_ns in self._remains.consumers.items():
            consumers.attach(connection, name, attached_ns)
        lowest = self._recovered(connection, ids)
        for cursor in self._remains.cursors:
            state = self._remains.partitions.get(cursor.partition)
            if state is None:
                continue  # it begins anew there: rather twice than not at all
            at = self._placement.new_offset(state.key, cursor.position)
            at = min(at, lowest.get(state.key, at), self._heads.get(state.key, 0) + 1)
            values = (
                *(cursor.consumer, ids.make_partition(state.key)),
                *(cursor.generation, at, cursor.updated_ns),
            )
            connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?,?,?,?,?,?)", (*values, row_crc(*values))
            )

    def _recovered(
        self, connection: sqlite3.Connection, ids: Identities
    ) -> dict[PartitionKey, int]:
        """Copy parked records; return how far back consumers must go for recovered frames.

        A record without a body under ``unreadable`` stands for a row that could not be read:
        consumers went on without it. Where it has been found again they get it now.
        """
        lowest: dict[PartitionKey, int] = {}
        for consumer, partition, position, *rest in self._remains.parked:
            state = self._remains.partitions.get(partition)
            if state is None:
                continue
            kept = self._placement.offset_of_kept(state.key, position)
            if consumer == _UNREADABLE and not rest[-1] and kept is not None:
                lowest[state.key] = min(kept, lowest.get(state.key, kept))
                continue
            # the frame is gone: its old offset, negative, cannot be taken for a present one
            values = (consumer, ids.make_partition(state.key), kept or -position, *rest)
            connection.execute(
                "INSERT OR IGNORE INTO parked VALUES (NULL,?,?,?,?,?,?,?,?,?)",
                (*values, row_crc(*values)),
            )
        return lowest


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _received(placed: Iterable[Placed]) -> Iterator[Found]:
    """Yield frames; those whose row is broken get the time of the one before them."""
    received_ns = 0
    for one in placed:
        frame = one.found.frame
        if one.found.rowid is None:
            frame = replace(frame, received_ns=received_ns or frame.time_max_ns)
        received_ns = frame.received_ns
        yield one.found._replace(frame=frame)


def _enrolled(row: DeviceRow, keys: Sequence[bytes]) -> EnrolledDevice:
    return EnrolledDevice(
        key=row.key,
        region=row.region,
        public_keys=tuple(keys) if row.removed_ns is None else (),
        enrolled_ns=row.enrolled_ns or 0,
        label=row.label,
    )
