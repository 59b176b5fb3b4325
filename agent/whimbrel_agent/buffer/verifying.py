"""Recomputing everything that can be recomputed, on an open buffer."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict

from whimbrel_agent.buffer.frames import COLUMNS, FrameRow, body_of, read_frame_row
from whimbrel_agent.buffer.staging import DamagedRowError, read_row
from whimbrel_agent.buffer.state import BufferState
from whimbrel_agent.buffer.values import LedgerLine, VerifyReport
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.errors import ProtocolError
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.sequences import RangeSet


class Verifier:
    """One pass over the buffer; without ``bodies`` it reads small rows only."""

    def __init__(self, state: BufferState, *, bodies: bool = True) -> None:
        self._state = state
        self._bodies = bodies
        self._problems: list[str] = []
        self._pieces: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        self._pending: Counter[int] = Counter()
        self._staged: Counter[int] = Counter()
        self._events = 0
        self._frames: Counter[str] = Counter()

    def run(self) -> VerifyReport:
        """Check checksums, digests, signatures, columns, tiling and the ledger."""
        state = self._state
        with state.database.reading() as connection:
            for (line,) in connection.execute("PRAGMA integrity_check(20)"):
                if line != "ok":
                    self._problems.append(f"sqlite: {line}")
            self._check_frames(connection, "pending")
            self._check_frames(connection, "receipted")
            self._check_staged(connection)
            self._check_bodies(connection)
        self._check_tiling()
        ledger = self._check_ledger()
        return VerifyReport(
            frames=self._frames["pending"],
            staged_events=sum(self._staged.values()),
            events=self._events,
            receipted_frames=self._frames["receipted"],
            ledger=ledger,
            problems=tuple(self._problems),
        )

    def _check_frames(self, connection: sqlite3.Connection, table: str) -> None:
        before: dict[int, tuple[int, int]] = {}
        for values in connection.execute(f"SELECT {COLUMNS} FROM {table} ORDER BY id"):  # noqa: S608
            row = read_frame_row(values)
            if row is None:
                self._problems.append(f"{table} row {values[0]} has a wrong checksum")
                continue
            self._frames[table] += 1
            if (row.epoch, row.first) <= before.get(row.lane, (0, 0)):
                self._problems.append(f"{table} frame {row.id} is out of order")
            before[row.lane] = (row.epoch, row.last)
            if table == "pending":
                self._pieces[row.epoch, row.lane].append((row.first, row.last))
                self._pending[row.lane] += row.events
            if self._bodies:
                self._check_body(connection, row)

    def _check_body(self, connection: sqlite3.Connection, row: FrameRow) -> None:
        data = body_of(connection, row)
        if data is None:
            self._problems.append(f"frame {row.id} is missing or has another digest")
            return
        try:
            frame = open_frame(data)
            if frame.key_id == self._state.key.public.key_id:
                frame.verify(self._state.key.public)
            events = (
                decode_events(frame.columns, self._state.shelf.at_hand)
                if frame.header.count
                else []
            )
        except ProtocolError as error:
            self._problems.append(f"frame {row.id}: {error}")
            return
        header = frame.header
        said = (header.epoch, header.lane, header.first, header.span, header.count, len(events))
        if said != (row.epoch, LANES[row.lane], row.first, row.span, row.events, row.events):
            self._problems.append(f"frame {row.id} is not the one its row describes")
        self._events += len(events)

    def _check_staged(self, connection: sqlite3.Connection) -> None:
        for row_id, body in connection.execute(
            "SELECT id, CAST(body AS BLOB) FROM staged ORDER BY id"
        ):
            try:
                row = read_row(body or b"")
                if self._bodies:
                    row.events()
            except DamagedRowError as error:
                self._problems.append(f"staged row {row_id}: {error}")
                continue
            self._pieces[row.epoch, row.lane].append((row.first, row.last))
            self._staged[row.lane] += row.count
            self._events += row.count

    def _check_bodies(self, connection: sqlite3.Connection) -> None:
        orphans = connection.execute(
            "SELECT count(*) FROM bodies WHERE id NOT IN"
            " (SELECT body FROM pending UNION ALL SELECT body FROM receipted)"
        ).fetchone()[0]
        if orphans:
            self._problems.append(f"{orphans} frames' bytes belong to no row")
        missing = connection.execute(
            "SELECT count(*) FROM (SELECT body FROM pending UNION ALL SELECT body FROM receipted)"
            " WHERE body NOT IN (SELECT id FROM bodies)"
        ).fetchone()[0]
        if missing:
            self._problems.append(f"the bytes of {missing} frames are missing")

    def _check_tiling(self) -> None:
        """Check that settled, pending and staged ranges cover 1..last of each stream, once."""
        known = set()
        for stream in self._state.streams:
            known.add((stream.epoch, stream.lane))
            tiles = stream.settled.copy()
            for first, last in self._pieces[stream.epoch, stream.lane]:
                if tiles.overlaps(first, last):
                    self._problems.append(
                        f"stream {stream.epoch}/{stream.lane}: {first}..{last} is there twice"
                    )
                tiles.add(first, last)
            for first, last in tiles.missing(1, max(tiles.last, stream.sealed_through)):
                self._problems.append(
                    f"stream {stream.epoch}/{stream.lane}: {first}..{last} is unaccounted for"
                )
        for epoch, lane in self._pieces.keys() - known:
            tiles = RangeSet(self._pieces[epoch, lane])
            if tiles.high_water != tiles.last:
                self._problems.append(f"stream {epoch}/{lane} does not begin at 1 or has holes")

    def _check_ledger(self) -> tuple[LedgerLine, ...]:
        lines = []
        for lane, name in enumerate(LANES):
            line = self._state.ledger.line(
                lane, staged=self._staged[lane], pending=self._pending[lane]
            )
            lines.append(line)
            if not line.balanced:
                self._problems.append(
                    f"ledger of lane {name}: {line.accepted} accepted, but {line.delivered} "
                    f"delivered, {sum(line.gapped.values())} gapped, {line.pending} pending"
                )
        return tuple(lines)


def verify_state(state: BufferState) -> VerifyReport:
    """Recompute everything that can be recomputed."""
    return Verifier(state).run()
