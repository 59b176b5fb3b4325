"""Everything the database thread knows: connection, numbering, accounts and totals.

One object, touched from the database thread only. What is in memory is a copy of committed
rows: when a transaction fails it is read anew, so that memory never says more than the disk.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from whimbrel_agent.buffer.database import Database
from whimbrel_agent.buffer.encoder import Encoder
from whimbrel_agent.buffer.held import Held
from whimbrel_agent.buffer.ledger import Ledger
from whimbrel_agent.buffer.meter import Meter
from whimbrel_agent.buffer.numbers import NumbersFile, next_block, window_block
from whimbrel_agent.buffer.reserve import ReserveFile
from whimbrel_agent.buffer.schema import LANE_SHIFT, row_sum
from whimbrel_agent.buffer.shelf import Shelf
from whimbrel_agent.buffer.streams import Streams
from whimbrel_agent.buffer.thinning import Step
from whimbrel_agent.buffer.values import BufferBrokenError, BufferConfig, DamageReport, LaneConfig
from whimbrel_agent.decisions.journal import DecisionJournal
from whimbrel_agent.dictionaries.learning import Learner
from whimbrel_agent.ports import Clock, Random
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANES, Order
from whimbrel_protocol.names import Address

LANE_COUNT: Final = len(LANES)

FRAME_STRIDE: Final = 1024
"""Distance between the ids of frames: room to put in what one frame is cut into (at most 65
pieces: a region keeps at most 64 ranges a stream)."""

GENERATION: Final = "generation"
"""First word of the facts that have the journal's generation as an address was told it last."""


class StagedSlot(NamedTuple):
    """Where a staged row lies and what it holds, without its bytes; a held one lies in memory."""

    id: int
    epoch: int
    first: int
    events: int
    size_bytes: int
    mono_ns: int
    held: bool = False


@dataclass(slots=True)
class StagedLane:
    """What waits to be sealed in one lane, oldest first; the last ``held_rows`` are in memory."""

    slots: deque[StagedSlot] = field(default_factory=deque)
    events: int = 0
    size_bytes: int = 0
    held_rows: int = 0
    held_events: int = 0

    def push(self, slot: StagedSlot) -> None:
        """Add a row at the end; after a held one only held ones come."""
        self.slots.append(slot)
        self._count(slot, 1)

    def pop(self) -> StagedSlot:
        """Take the oldest row off."""
        slot = self.slots.popleft()
        self._count(slot, -1)
        return slot

    def _count(self, slot: StagedSlot, by: int) -> None:
        self.events += by * slot.events
        self.size_bytes += by * slot.size_bytes
        if slot.held:
            self.held_rows += by
            self.held_events += by * slot.events

    def held(self) -> list[StagedSlot]:
        """Return the slots of what is in memory only, oldest first."""
        return list(islice(self.slots, len(self.slots) - self.held_rows, None))

    def held_since_ns(self) -> int | None:
        """Return when the oldest of them was accepted (monotonic); None without any."""
        return self.slots[-self.held_rows].mono_ns if self.held_rows else None

    def take_held(self) -> list[StagedSlot]:
        """Take them all off."""
        taken = [self.slots.pop() for _ in range(self.held_rows)]
        for slot in taken:
            self._count(slot, -1)
        return taken[::-1]


@dataclass(slots=True)
class LaneTotals:
    """Sums over one lane's frames."""

    pending_frames: int = 0
    pending_events: int = 0
    pending_bytes: int = 0
    receipted_frames: int = 0
    receipted_bytes: int = 0


@dataclass(frozen=True, slots=True)
class EpochRow:
    """What every frame of an epoch shares."""

    epoch: int
    address: Address
    boot_id: bytes
    orders: tuple[Order, ...]


class BufferState:
    """The state of one open buffer. See the module's docstring.

    Of each lane, ``published_through`` is the last frame id that may have been sent, and
    ``window_through`` the durable bound of it, which runs ahead (see ``sending``). For each step
    of thinning, ``thinned_through`` is the last frame that has had it in this process. The meters
    count bytes of frames that came into being, and that the region has. ``held`` has what is in
    memory only, ``written_at_once`` how many events of it were written last, ``lost_in_window`` the
    upper bound of what an unclean stop before this start took of it, and ``decided`` what was
    decided last about what waits, and why.
    """

    def __init__(
        self,
        database: Database,
        config: BufferConfig,
        address: Address,
        key: PrivateKey,
        *,
        clock: Clock,
        random: Random,
        numbers: NumbersFile,
        reserve: ReserveFile,
    ) -> None:
        self.database = database
        self.config = config
        self.address = address
        self.key = key
        self.clock = clock
        self.random = random
        self.numbers = numbers
        self.reserve = reserve
        self.lanes: list[LaneConfig] = [config.lanes[name] for name in LANES]
        self.ledger = Ledger()
        self.streams = Streams()
        self.shelf = Shelf()
        self.learner = Learner() if config.dictionaries else None
        self.journal = DecisionJournal()
        self.encoder = Encoder()
        self.epochs: dict[int, EpochRow] = {}
        self.staged = [StagedLane() for _ in LANES]
        self.held = Held()
        self.written_at_once = [0] * LANE_COUNT
        self.lost_in_window = [0] * LANE_COUNT
        self.decided = [""] * LANE_COUNT
        self.totals = [LaneTotals() for _ in LANES]
        self.published_through = [0] * LANE_COUNT
        self.window_through = [0] * LANE_COUNT
        self.thinned_through = [[0] * LANE_COUNT for _ in Step]
        self.next_frame = [FRAME_STRIDE] * LANE_COUNT
        self.next_body = 1
        self.next_staged = [1] * LANE_COUNT
        self.quarantine_bytes = 0
        self.epoch = 0
        self.next_sequence = [1] * LANE_COUNT
        self.reserved = [0] * LANE_COUNT
        self.generations: dict[Address, bytes] = {}
        self.unasked: set[tuple[int, int]] = set()
        self.brought_back: set[tuple[int, int]] = set()
        self.asked_once = False
        self.former_epochs: set[int] = set()
        self.counters: Counter[str] = Counter()
        self.sealed_meter = Meter()
        self.settled_meter = Meter()
        self.damage: DamageReport | None = None

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Run the block in one transaction, accounts included; undo memory when it fails."""
        try:
            with self.database.transaction() as connection:
                yield connection
                self.ledger.flush(connection)
                self.streams.flush(connection)
        except BaseException:
            if self.database.broken is None:
                self.load()
            raise

    def load(self) -> list[str]:
        """Read all that is kept in memory from the rows; return what is wrong with them."""
        with self.database.reading() as connection:
            problems = self.ledger.load(connection)
            problems += self.streams.load(connection)
            problems += self.shelf.load(connection)
            problems += self._load_epochs(connection)
            self._load_totals(connection)
            problems += self._load_facts(connection)
        return problems

    def _load_epochs(self, connection: sqlite3.Connection) -> list[str]:
        problems = []
        self.epochs = {}
        for epoch, address, boot_id, orders, total in connection.execute(
            "SELECT epoch, address, boot_id, orders, sum FROM epochs"
        ):
            if row_sum(epoch, address, boot_id, orders) != total:
                problems.append(f"epoch {epoch} has a wrong checksum")
                continue
            tenant, region, store, device = address.split("/")
            place = Address(tenant=tenant, region=region, store=store, device=device)
            self.epochs[epoch] = EpochRow(epoch, place, boot_id, tuple(map(Order, orders)))
        return problems

    def _load_totals(self, connection: sqlite3.Connection) -> None:
        self.totals = [LaneTotals() for _ in LANES]
        self.next_frame = [FRAME_STRIDE] * LANE_COUNT
        for lane, frames, events, size, last in connection.execute(
            f"SELECT id >> {LANE_SHIFT}, count(*), sum(count), sum(size), max(id)"  # noqa: S608
            " FROM pending GROUP BY 1"
        ):
            totals = self.totals[lane]
            totals.pending_frames, totals.pending_events, totals.pending_bytes = (
                frames,
                events,
                size,
            )
            self._seen_frame(last)
        for lane, frames, size, last in connection.execute(
            f"SELECT id >> {LANE_SHIFT}, count(*), sum(size), max(id) FROM receipted GROUP BY 1"  # noqa: S608
        ):
            self.totals[lane].receipted_frames = frames
            self.totals[lane].receipted_bytes = size
            self._seen_frame(last)
        self.next_body = 1 + (connection.execute("SELECT max(id) FROM bodies").fetchone()[0] or 0)
        self.quarantine_bytes = connection.execute(
            "SELECT coalesce(sum(length(data)), 0) FROM quarantine"
        ).fetchone()[0]

    def _seen_frame(self, frame_id: int) -> None:
        lane, number = frame_id >> LANE_SHIFT, frame_id & ((1 << LANE_SHIFT) - 1)
        following = (number // FRAME_STRIDE + 1) * FRAME_STRIDE
        self.next_frame[lane] = max(self.next_frame[lane], following)

    def _load_facts(self, connection: sqlite3.Connection) -> list[str]:
        problems = []
        facts = {}
        for name, value, total in connection.execute("SELECT name, value, sum FROM facts"):
            if row_sum(name, value) != total:
                problems.append(f"fact {name} has a wrong checksum")
            facts[name] = value
        self._load_generations(facts)
        for lane in range(LANE_COUNT):
            through = int.from_bytes(facts.get(f"published {lane}", b""), "big")
            newest = (lane << LANE_SHIFT) + self.next_frame[lane] - 1
            self.window_through[lane] = through
            # the window reaches past what there is: frames made from now on were never sent
            self.published_through[lane] = min(through, newest)
        return problems

    @property
    def generation(self) -> bytes:
        """The journal's generation as the present address was told it last; empty before."""
        return self.generations.get(self.address, b"")

    def _load_generations(self, facts: Mapping[str, bytes]) -> None:
        """Take the journals' generations, each as its address was told it last."""
        addresses = {row.address for row in self.epochs.values()}
        told = {address: facts.get(f"{GENERATION} {address}") for address in addresses}
        self.generations = {address: one for address, one in told.items() if one is not None}
        if GENERATION in facts and self.epochs:  # of before there was one of each address
            address = self.epochs[max(self.epochs)].address
            self.generations.setdefault(address, facts[GENERATION])

    def write_fact(self, connection: sqlite3.Connection, name: str, value: bytes) -> None:
        """Write one single value inside the caller's transaction."""
        connection.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, value, row_sum(name, value))
        )

    def frame_id(self, lane: int) -> int:
        """Give out the next frame id of a lane, with room before the one after it."""
        number = self.next_frame[lane]
        self.next_frame[lane] = number + FRAME_STRIDE
        return lane << LANE_SHIFT | number

    def staged_id(self, lane: int) -> int:
        """Return the id of the next staged row of a lane."""
        return lane << LANE_SHIFT | self.next_staged[lane]

    def set_next_staged(self, lane: int, row_id: int) -> None:
        """Have the next staged row of a lane get this id."""
        self.next_staged[lane] = row_id & ((1 << LANE_SHIFT) - 1)

    def is_published(self, frame_id: int) -> bool:
        """Whether a frame may have been sent."""
        return frame_id <= self.published_through[frame_id >> LANE_SHIFT]

    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.clock.mono_ns() / 1e9

    def reserve_numbers(self, lane: int, last: int) -> None:
        """Make numbers durable in the numbers file before events that use them."""
        if last > self.reserved[lane]:
            windowed = self.lanes[lane].durability_s > 0
            at_once = max(self.written_at_once[lane], self.staged[lane].held_events)
            through = last + (window_block(at_once) if windowed else next_block(last))
            with self.database.beside():
                self.numbers.reserve(lane, self.epoch, through, windowed=windowed)
            self.reserved[lane] = through

    def found_damage(self, what: str) -> BufferBrokenError:
        """Break the buffer because a row is not what was written; returns what to raise."""
        self.database.broken = BufferBrokenError(
            f"buffer {self.database.path.name} is damaged ({what}); open it again to salvage it"
        )
        return self.database.broken
