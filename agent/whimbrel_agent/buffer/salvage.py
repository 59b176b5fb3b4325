"""Making a new buffer file out of a damaged one.

The steps survive a stop at any point: the image and the new file are built beside the damaged
one; the new one gets its name ``.rebuilt`` only when it is whole; then the damaged files are
put aside and it takes their place. An opening that finds a ``.rebuilt`` finishes that step.
While it runs, the old, the image and the new file exist together; this is the one time when the
cap does not hold.
"""

from __future__ import annotations

import mmap
import sqlite3
from collections import Counter
from collections.abc import Container
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from whimbrel_agent.buffer.carve import Carver
from whimbrel_agent.buffer.companions import Companions
from whimbrel_agent.buffer.frames import FrameRow, add_pending, retain
from whimbrel_agent.buffer.gaps import add_gap
from whimbrel_agent.buffer.idempotency import read_key_group
from whimbrel_agent.buffer.image import ImageReader, build_image
from whimbrel_agent.buffer.ledger import ACCEPTED
from whimbrel_agent.buffer.numbers import sync_directory
from whimbrel_agent.buffer.remains import Piece, Plan, Remains, gather
from whimbrel_agent.buffer.runs import insert_run
from whimbrel_agent.buffer.schema import RULES_TABLE, row_sum
from whimbrel_agent.buffer.sealer import seal_part
from whimbrel_agent.buffer.shelf import Held, is_sound
from whimbrel_agent.buffer.state import GENERATION, LANE_COUNT, BufferState
from whimbrel_agent.buffer.values import DamageReport
from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.errors import FieldError, RemoteProtocolError
from whimbrel_protocol.lanes import GapReason
from whimbrel_protocol.names import Address
from whimbrel_protocol.sqlitewal import WalScan

BATCH = 16
"""Pieces written in one transaction of the new file."""


class Builder:
    """Writes the planned pieces into a fresh, empty buffer file."""

    def __init__(self, state: BufferState, remains: Remains) -> None:
        self._state = state
        self._remains = remains
        self._pending: Counter[int] = Counter()
        self.frames = self.staged_events = self.lost_events = 0

    def build(self, pieces: list[Piece]) -> None:
        """Write everything."""
        self._write_epochs(pieces)
        self._write_ledger()
        for start in range(0, len(pieces), BATCH):
            with self._state.change() as connection:
                for piece in pieces[start : start + BATCH]:
                    self._write(connection, piece)
            self._state.database.checkpoint_if_due()
        self._finish()

    def _write_epochs(self, pieces: list[Piece]) -> None:
        state = self._state
        known = {row[0]: row for row in self._remains.epochs if _is_address(row[1])}
        for piece in pieces:
            if piece.epoch not in known:
                known[piece.epoch] = self._epoch_of(piece)
        with state.change() as connection:
            connection.executemany(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?)",
                [(*row, row_sum(*row)) for row in known.values()],
            )
        state.load()
        with state.change():
            for (epoch, lane), (through, settled) in self._remains.streams.items():
                if epoch in known:
                    stream = state.streams.change(epoch, lane)
                    stream.sealed_through, stream.settled = through, settled

    def _epoch_of(self, piece: Piece) -> tuple[int, str, bytes, bytes]:
        """Rebuild an epoch's row from a frame, or from what is so now."""
        orders = bytearray(int(lane.order) for lane in self._state.lanes)
        address, boot_id = self._state.address, self._state.clock.boot_id
        for found in self._remains.frames.values():
            if found.header.epoch == piece.epoch:
                address = found.header.address
                orders[piece.lane] = found.header.order
                boot_id = found.header.boot_id if found.header.count else boot_id
        return piece.epoch, str(address), boot_id, bytes(orders)

    def _write_ledger(self) -> None:
        for (lane, outcome), events in self._remains.ledger.items():
            if outcome != ACCEPTED and 0 <= lane < LANE_COUNT:
                self._state.ledger.add(lane, outcome, events)
                self._state.ledger.add(lane, ACCEPTED, events)

    def _write(self, connection: sqlite3.Connection, piece: Piece) -> None:
        if piece.frame is not None:
            self._write_frame(connection, piece)
        elif piece.staged is not None:
            self._write_staged(connection, piece)
        else:
            self._write_gap(connection, piece)
        stream = self._state.streams.change(piece.epoch, piece.lane)
        stream.sealed_through = max(stream.sealed_through, piece.last)

    def _write_frame(self, connection: sqlite3.Connection, piece: Piece) -> None:
        state, found = self._state, piece.frame
        assert found is not None
        data = found.data()
        header = found.header
        row = add_pending(
            state,
            connection,
            data,
            lane=piece.lane,
            epoch=piece.epoch,
            first=piece.first,
            span=header.span,
            count=header.count,
            reason=header.gaps[0].reason if header.gaps else 0,
            wall_ns=piece.wall_ns,
        )
        self.frames += 1
        if piece.receipted:
            retain(state, connection, row)
            return
        state.ledger.add(piece.lane, ACCEPTED, header.count)
        self._mark(connection, piece, row)

    def _mark(self, connection: sqlite3.Connection, piece: Piece, row: FrameRow) -> None:
        if piece.published:
            through = row.id
            self._state.published_through[piece.lane] = through
            self._state.write_fact(
                connection, f"published {piece.lane}", through.to_bytes(8, "big")
            )

    def _write_staged(self, connection: sqlite3.Connection, piece: Piece) -> None:
        """Seal a staged row: its process has ended, so nothing more will join it."""
        assert piece.staged is not None
        row, count = piece.staged, piece.last - piece.first + 1
        for run in seal_part(self._state, piece.lane, row, first=piece.first, count=count):
            insert_run(self._state, connection, piece.lane, piece.epoch, run)
        self.staged_events += count

    def _write_gap(self, connection: sqlite3.Connection, piece: Piece) -> None:
        span = piece.last - piece.first + 1
        reason = piece.reason or GapReason.DAMAGED
        row = add_gap(
            self._state,
            connection,
            epoch=piece.epoch,
            lane=piece.lane,
            first=piece.first,
            span=span,
            reason=reason,
            wall_ns=piece.wall_ns,
        )
        if piece.lost:
            self.lost_events += span
            self._state.ledger.add(piece.lane, ACCEPTED, span)
            self._state.ledger.add(piece.lane, int(reason), span)
        self._mark(connection, piece, row)

    def _finish(self) -> None:
        state, remains = self._state, self._remains
        with state.change() as connection:
            for body in remains.keys:
                if type(body) is bytes and read_key_group(body) is not None:
                    connection.execute("INSERT INTO keys (body) VALUES (?)", (body,))
            for name, value in remains.checkpoints:
                connection.execute(
                    "INSERT OR REPLACE INTO checkpoints (name, value, sum) VALUES (?, ?, ?)",
                    (name, value, row_sum(name, value)),
                )
            self._keep_dictionaries(connection)
            if remains.rules:
                connection.execute(RULES_TABLE)
                connection.executemany("INSERT INTO rules VALUES (?, ?)", remains.rules)
            for name, value in remains.facts.items():
                if name.partition(" ")[0] == GENERATION:
                    state.write_fact(connection, name, value)

    def _keep_dictionaries(self, connection: sqlite3.Connection) -> None:
        """Carry over what proves itself; in use stays only what is wholly as it was written."""
        shelf, last_body = self._state.shelf, max(1, self._state.next_body - 1)
        for number, name, content, *rest, total in self._remains.dictionaries:
            if not is_sound(name, content):
                continue
            try:
                held = Held(number, Dictionary(content), last_body)
            except RemoteProtocolError:
                continue
            if row_sum(number, name, content, *rest) == total:
                held = Held(number, held.dictionary, last_body if rest[0] else 0, *rest[1:])
            shelf.put(connection, held)


def _is_address(text: str) -> bool:
    parts = text.split("/")
    if len(parts) != 4:
        return False
    try:
        Address(tenant=parts[0], region=parts[1], store=parts[2], device=parts[3])
    except FieldError:
        return False
    return True


def salvage(
    files: Companions,
    fresh: BufferState,
    scan: WalScan,
    bounds: dict[tuple[int, int], int],
    *,
    page_bytes: int,
    torn: bool,
) -> Builder:
    """Read what is left of the file into ``fresh``, an open empty buffer beside it.

    ``page_bytes`` is the damaged file's page size; the new one's may be another. ``torn`` says
    that the log's last transaction may never have been whole: half of it laid over the rest
    would take away what was answered before, so it only adds what proves itself.
    """
    build_image(files.path, files.wal, scan, files.image, page_bytes=page_bytes, certain_only=torn)
    images = [files.image]
    if torn:
        build_image(files.path, files.wal, scan, files.doubtful, page_bytes=page_bytes)
        images.append(files.doubtful)
    reader = ImageReader(files.image, page_bytes)
    try:
        with ExitStack() as stack:
            carvers = [Carver(_mapped(image, stack), page_bytes) for image in images]
            remains = gather(reader, carvers, fresh.key.public)
            if not bounds:
                unknown = (
                    range(LANE_COUNT) if "staged" in remains.unreadable else remains.open_ended
                )
                bounds = _bounds_of_newest(fresh, unknown)
            plan = Plan(remains, bounds)
            builder = Builder(fresh, remains)
            builder.build(plan.pieces)
    finally:
        reader.close()
        for image in images:
            image.unlink(missing_ok=True)
    return builder


def _mapped(image: Path, stack: ExitStack) -> mmap.mmap:
    handle = stack.enter_context(image.open("rb"))
    return stack.enter_context(closing(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)))


def _bounds_of_newest(state: BufferState, lanes: Container[int]) -> dict[tuple[int, int], int]:
    """Return how far the last process may have numbered in some lanes: its reservations."""
    before = state.numbers.before
    newest = max(before.epochs, default=0)
    return {
        key: last for key, last in before.reserved.items() if key[0] == newest and key[1] in lanes
    }


def install(files: Companions, *, keep_bytes: int, wall_ns: int) -> str:
    """Put the rebuilt file in place and the damaged ones aside; repeatable after a stop.

    Args:
        files: where everything lies; ``files.rebuilt`` is whole.
        keep_bytes: damaged files over this size are not kept.
        wall_ns: for the name of what is kept.

    Returns:
        The name under which the damaged file is kept, empty when it is not.
    """
    stamp = datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = files.beside(f".damaged-{stamp}")
    size = sum(f.stat().st_size for f in (files.path, files.wal) if f.exists())
    keep = size <= keep_bytes
    if keep and not aside.exists():
        aside.hardlink_to(files.path)
    if files.wal.exists():
        if keep:
            files.wal.rename(aside.with_name(aside.name + "-wal"))
        else:
            files.wal.unlink()
    files.shm.unlink(missing_ok=True)
    sync_directory(files.path.parent)
    files.rebuilt.replace(files.path)
    sync_directory(files.path.parent)
    _keep_within(files, keep_bytes)
    return aside.name if keep else ""


def _keep_within(files: Companions, keep_bytes: int) -> None:
    """Delete the oldest files kept aside until the rest is within its share."""
    kept = files.kept_aside()
    while kept and sum(path.stat().st_size for path in kept) > keep_bytes:
        kept.pop(0).unlink()


def report_of(found: str, kept_as: str, builder: Builder) -> DamageReport:
    """Say what was found and what became of it."""
    return DamageReport(
        found=found[:400],
        kept_as=kept_as,
        recovered_frames=builder.frames,
        recovered_staged_events=builder.staged_events,
        lost_events=builder.lost_events,
    )
