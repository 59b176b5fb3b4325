"""What is left of a damaged database, and what the new file will hold: a plan.

Frames and staged rows prove themselves. The small rows say which frames are live; where one is
missing, its frame counts as pending and perhaps published, and the region recognises it. What
nothing accounts for any more becomes a gap, and a resume corrects it where the region knows
better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from whimbrel_agent.buffer.carve import CarvedRow, Carver
from whimbrel_agent.buffer.frames import COLUMNS, FrameRow, digest_of, read_frame_row
from whimbrel_agent.buffer.image import ImageReader
from whimbrel_agent.buffer.schema import LANE_SHIFT, row_sum
from whimbrel_agent.buffer.staging import CLAIM_BYTES, StagedRow, claim_of
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.header import FrameHeader
from whimbrel_protocol.keys import BadSignatureError, PublicKey
from whimbrel_protocol.lanes import LANE_NUMBERS, GapReason
from whimbrel_protocol.sequences import RangeSet

StreamKey = tuple[int, int]

WITH_DICTIONARIES = 3
"""The schema version that brought them."""


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """An intact frame in an image: where, and what it says."""

    offset: int
    digest: bytes
    size: int
    header: FrameHeader
    carver: Carver

    def data(self) -> bytes:
        """Return its bytes."""
        data = self.carver.frame_bytes(self.offset)
        assert data is not None
        return data


@dataclass(slots=True)
class Remains:
    """Everything that could be read.

    ``doubtful`` says that a last transaction may have come after the small rows: any frame may
    have been published in it, and frames and staged rows of it may stand beside them. The last
    staged row of an ``open_ended`` lane does not even say how many events it held.
    """

    epochs: list[tuple[Any, ...]] = field(default_factory=list)
    streams: dict[StreamKey, tuple[int, RangeSet]] = field(default_factory=dict)
    pending: list[FrameRow] = field(default_factory=list)
    receipted: list[FrameRow] = field(default_factory=list)
    ledger: dict[tuple[int, int], int] = field(default_factory=dict)
    facts: dict[str, bytes] = field(default_factory=dict)
    keys: list[bytes] = field(default_factory=list)
    checkpoints: list[tuple[str, bytes]] = field(default_factory=list)
    dictionaries: list[tuple[Any, ...]] = field(default_factory=list)
    rules: list[tuple[int, bytes]] = field(default_factory=list)
    frames: dict[bytes, FoundFrame] = field(default_factory=dict)
    staged: list[StagedRow] = field(default_factory=list)
    broken_staged: list[CarvedRow] = field(default_factory=list)
    unreadable: frozenset[str] = frozenset()
    doubtful: bool = False
    open_ended: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of sequences in the new file.

    Exactly one of ``frame``, ``staged`` and ``reason`` says what it is; ``receipted`` frames
    are kept for a restored region. Of a staged row it may be a part: a frame of a transaction
    that was torn may hold the rest.
    """

    epoch: int
    lane: int
    first: int
    last: int
    published: bool = False
    frame: FoundFrame | None = None
    staged: StagedRow | None = None
    reason: GapReason | None = None
    receipted: bool = False
    lost: bool = False
    wall_ns: int = 0


def gather(reader: ImageReader, carvers: Sequence[Carver], key: PublicKey) -> Remains:
    """Read all that can be read: small rows from one image, frames and staged rows from all.

    A second image is the one with the doubtful last transaction.
    """
    remains = Remains(doubtful=len(carvers) > 1)
    for table, into in (("pending", remains.pending), ("receipted", remains.receipted)):
        for values in reader.rows(table, COLUMNS, "id"):
            row = read_frame_row(values)
            if row is not None:
                into.append(row)
    for epoch, lane, through, settled, total in reader.rows(
        "streams", "epoch, lane, sealed_through, settled, sum", "epoch, lane"
    ):
        if row_sum(epoch, lane, through, settled) == total:
            try:
                remains.streams[epoch, lane] = (through, RangeSet.from_bytes(settled))
            except RemoteProtocolError:
                continue  # a row that never was right: its frames tell the rest
    remains.epochs = _sound(reader.rows("epochs", "epoch, address, boot_id, orders, sum", "epoch"))
    for lane, outcome, events in _sound(
        reader.rows("ledger", "lane, outcome, events, sum", "lane, outcome")
    ):
        remains.ledger[lane, outcome] = events
    facts = reader.rows("facts", "name, value, sum", "name")
    remains.facts = dict(_sound(facts))
    remains.keys = [row[0] for row in reader.rows("keys", "body", "id")]
    remains.checkpoints = [
        (row[0], row[1]) for row in _sound(reader.rows("checkpoints", "name, value, sum", "id"))
    ]
    if reader.version >= WITH_DICTIONARIES:
        columns = "id, name, content, through, address, generation, sum"
        remains.dictionaries = reader.rows("dictionaries", columns, "id")
    remains.open_ended = _open_ended(reader)
    remains.unreadable = frozenset(reader.unreadable)
    # after the above: most files have no such table, and nothing of the numbering hangs on it
    rules = reader.rows("rules", "id, body", "id")
    remains.rules = [(row[0], row[1]) for row in rules if type(row[1]) is bytes]
    if len(remains.facts) < len(facts):
        remains.unreadable |= {"facts"}  # one that is missing may have said "published"
    for carver in carvers:
        _carve(remains, carver, key)
    return remains


def _open_ended(reader: ImageReader) -> frozenset[int]:
    """Return the lanes whose last staged row has lost what it says of itself."""
    heads = reader.rows("staged", f"id, substr(CAST(body AS BLOB), 1, {CLAIM_BYTES})", "id")
    newest = {row_id >> LANE_SHIFT: claim_of(head or b"") for row_id, head in sorted(heads)}
    return frozenset(lane for lane, claim in newest.items() if claim is None or claim.lane != lane)


def _sound(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row[:-1] for row in rows if row_sum(*row[:-1]) == row[-1]]


def _carve(remains: Remains, carver: Carver, key: PublicKey) -> None:
    referenced = {row.digest for row in (*remains.pending, *remains.receipted)}
    for offset, frame in carver.frames():
        digest = digest_of(frame.data)
        if digest not in referenced:
            try:
                frame.verify(key)
            except BadSignatureError:
                continue  # not whole, or another key's and named by no row
        found = FoundFrame(offset, digest, len(frame.data), frame.header, carver)
        remains.frames.setdefault(digest, found)
    for carved in carver.staged():
        if carved.row is None:
            remains.broken_staged.append(carved)
        else:
            remains.staged.append(carved.row)


class Plan:
    """Decides piece by piece, best evidence first, what each sequence becomes."""

    def __init__(self, remains: Remains, bounds: dict[StreamKey, int]) -> None:
        """Plan the new file.

        Args:
            remains: what was read.
            bounds: streams whose end is not known -> the highest sequence that may have been
                given out.
        """
        self._remains = remains
        self._taken: defaultdict[StreamKey, RangeSet] = defaultdict(RangeSet)
        self._kept: defaultdict[StreamKey, RangeSet] = defaultdict(RangeSet)
        self._through: dict[StreamKey, int] = {}
        for stream, (through, settled) in remains.streams.items():
            self._taken[stream] = settled.copy()
            self._through[stream] = through
        self.pieces: list[Piece] = []
        self._keep_receipted()
        self._keep_pending()
        self._keep_unnamed_frames()
        self._keep_staged()
        self._fill_holes(bounds)
        self.pieces.sort(key=lambda piece: (piece.lane, piece.epoch, piece.first))

    def _published(self, frame_id: int) -> bool:
        if self._remains.doubtful:
            return True
        fact = self._remains.facts.get(f"published {frame_id >> LANE_SHIFT}")
        if fact is None:
            return bool({"facts", "schema"} & self._remains.unreadable)
        return frame_id <= int.from_bytes(fact, "big")

    def _add(self, piece: Piece) -> None:
        self._taken[piece.epoch, piece.lane].add(piece.first, piece.last)
        self.pieces.append(piece)

    def _settled(self, stream: StreamKey) -> RangeSet:
        known = self._remains.streams.get(stream)
        return RangeSet() if known is None else known[1]

    def _keep_receipted(self) -> None:
        for row in self._remains.receipted:
            found = self._remains.frames.get(row.digest)
            if found is not None and self._taken[row.epoch, row.lane].covers(row.first, row.last):
                self._kept[row.epoch, row.lane].add(row.first, row.last)
                self.pieces.append(
                    Piece(
                        *(row.epoch, row.lane, row.first, row.last),
                        frame=found,
                        published=True,
                        receipted=True,
                        wall_ns=row.wall_ns,
                    )
                )

    def _keep_pending(self) -> None:
        for row in self._remains.pending:
            if self._taken[row.epoch, row.lane].overlaps(row.first, row.last):
                continue
            found = self._remains.frames.get(row.digest)
            reason = None
            if found is None:
                reason = GapReason.DAMAGED if row.events else GapReason(row.reason)
            self._add(
                Piece(
                    *(row.epoch, row.lane, row.first, row.last),
                    published=self._published(row.id),
                    frame=found,
                    reason=reason,
                    lost=found is None and row.events > 0,
                    wall_ns=row.wall_ns,
                )
            )

    def _keep_unnamed_frames(self) -> None:
        named = {row.digest for row in (*self._remains.pending, *self._remains.receipted)}
        unnamed = [f for f in self._remains.frames.values() if f.digest not in named]
        for found in sorted(unnamed, key=lambda f: (-f.header.count, f.header.first)):
            header = found.header
            stream = (header.epoch, LANE_NUMBERS[header.lane])
            place = Piece(*stream, header.first, header.last, published=True, frame=found)
            if not self._taken[stream].overlaps(header.first, header.last):
                self._add(place)
            elif self._settled(stream).covers(header.first, header.last) and not self._kept[
                stream
            ].overlaps(header.first, header.last):
                # its receipt is known, its row is not: kept for a restored region all the same
                self._kept[stream].add(header.first, header.last)
                self.pieces.append(replace(place, receipted=True))

    def _keep_staged(self) -> None:
        rows = sorted(self._remains.staged, key=lambda row: (row.epoch, row.lane, row.first))
        for row in rows:
            stream = (row.epoch, row.lane)
            if row.last <= self._through.get(stream, 0):
                continue  # sealed since: its frame, or the frame's gap, speaks for it
            for first, last in self._taken[stream].missing(row.first, row.last):
                self._add(Piece(*stream, first, last, staged=row))

    def _fill_holes(self, bounds: dict[StreamKey, int]) -> None:
        claims = self._claims()
        for stream in {*self._taken, *bounds, *claims}:
            taken = self._taken[stream]
            known = last = max(taken.last, self._through.get(stream, 0))
            for first, count in claims.get(stream, ()):
                if first == last + 1:
                    last += count
            if last == known or stream[1] in self._remains.open_ended:
                last = max(last, bounds.get(stream, 0))
            for first, end in taken.missing(1, last) if last else ():
                self._add(Piece(*stream, first, end, reason=GapReason.DAMAGED, lost=True))

    def _claims(self) -> dict[StreamKey, list[tuple[int, int]]]:
        """Return what broken staged rows say of themselves: by stream, first and count.

        Rows lie on after they were deleted; one of an epoch that nothing knows has no say.
        """
        remains = self._remains
        known = {row[0] for row in remains.epochs}
        known |= {epoch for epoch, _ in self._taken}
        claims: defaultdict[StreamKey, list[tuple[int, int]]] = defaultdict(list)
        for claim in (carved.claim for carved in remains.broken_staged):
            if claim.epoch in known or "epochs" in remains.unreadable:
                claims[claim.epoch, claim.lane].append((claim.first, claim.count))
        return {stream: sorted(found) for stream, found in claims.items()}
