"""Values and errors of the buffer: what goes in, what comes out, what can go wrong.

No SQL and no files here; everything is frozen, so that it can be printed and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from whimbrel_agent.buffer.held import FULL_DURABILITY, MAX_WINDOW_S, WindowStats
from whimbrel_protocol.errors import FieldError, WhimbrelError
from whimbrel_protocol.event import Event
from whimbrel_protocol.lanes import LANES, GapReason, Order
from whimbrel_protocol.limits import MAX_SEAL_EVENTS
from whimbrel_protocol.names import Address

MIN_BUFFER_BYTES: Final = 1024 * 1024
"""Below this the write-ahead log and the reserve would take most of the room."""

MAX_WAITING_EVENTS: Final = 20_000
"""Events that may wait for a commit; at a tenth of the measured rate that is one second."""

MAX_GROUP_EVENTS: Final = 5_000
"""Events in one accept call; bounds one transaction."""

MAX_GROUP_BYTES: Final = 2 * 1024 * 1024
"""Packed bytes in one transaction of accepts: bounds how far the write-ahead log can grow
past its limit."""


class Overflow(Enum):
    """What a lane does when the buffer is full."""

    REFUSE = "refuse"
    """New events are refused; nothing accepted is dropped."""
    DROP_OLDEST = "drop-oldest"
    """The oldest frames of the least urgent lanes become gaps."""
    THIN = "thin"
    """Numeric series lose every other value, then become summaries; only then the oldest frames
    become gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneConfig:
    """How one lane is sealed, ordered and kept within bounds.

    Attributes:
        order: how its frames reach the journal.
        linger_s: the longest an accepted event waits to be sealed.
        batch_events: seal as soon as this many wait.
        overflow: what gives way when the buffer is full.
        durability_s: an answered event may wait so long in memory before it is on the disk, to
            spare the disk: what an unclean stop may take. 0: it is on the disk when it is answered.
        share: of a full link, in proportion to the shares of the other busy lanes.
    """

    order: Order = Order.IN_ORDER
    linger_s: float = 1.0
    batch_events: int = MAX_SEAL_EVENTS  # a backlog takes 15 % less bytes than in halves of it
    overflow: Overflow = Overflow.DROP_OLDEST
    durability_s: float = 0.0
    share: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.batch_events <= MAX_SEAL_EVENTS:
            raise ValueError(f"batch_events is {self.batch_events}, must be 1..{MAX_SEAL_EVENTS}")
        if not 0 <= self.linger_s <= 3600:
            raise ValueError(f"linger_s is {self.linger_s}, must be 0..3600")
        if not 0 <= self.durability_s <= MAX_WINDOW_S:
            raise ValueError(f"durability_s is {self.durability_s}, must be 0..{MAX_WINDOW_S:g}")


def default_lanes() -> dict[str, LaneConfig]:
    """Return the lanes as they are unless configured: urgent ones seal sooner."""
    return {
        "critical": LaneConfig(linger_s=0.05, overflow=Overflow.REFUSE, share=64),
        "high": LaneConfig(linger_s=0.25, share=16),
        "normal": LaneConfig(linger_s=1.0),
        "bulk": LaneConfig(linger_s=10.0, overflow=Overflow.THIN, share=1),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferConfig:
    """Where the buffer lies and what bounds it.

    Attributes:
        path: the SQLite file; its companions lie beside it.
        max_bytes: cap over everything the buffer keeps on disk: database, write-ahead log,
            shared memory file, numbers, reserve, quarantine.
        lanes: one entry per lane; lanes left out have their defaults.
        retain_share: part of ``max_bytes`` that receipted frames may keep, for a region that
            is restored from a backup.
        quarantine_share: part of ``max_bytes`` for damaged files and frames kept aside.
        idempotency_keys: how many producers' keys are remembered.
        idempotency_age_s: how long a key is remembered.
        dictionaries: whether dictionaries are learned and used.
    """

    path: Path
    max_bytes: int = 64 * 1024 * 1024
    lanes: Mapping[str, LaneConfig] = field(default_factory=default_lanes)
    retain_share: float = 0.5
    quarantine_share: float = 0.125
    idempotency_keys: int = 50_000
    idempotency_age_s: float = 24 * 3600.0
    dictionaries: bool = False

    def __post_init__(self) -> None:
        if self.max_bytes < MIN_BUFFER_BYTES:
            raise ValueError(
                f"max_bytes is {self.max_bytes}, must be at least {MIN_BUFFER_BYTES} (1 MiB)"
            )
        if unknown := set(self.lanes) - set(LANES):
            raise ValueError(f"lanes {sorted(unknown)} are not known (known: {', '.join(LANES)})")
        for name in ("retain_share", "quarantine_share"):
            if not 0 <= getattr(self, name) <= 0.9:
                raise ValueError(f"{name} is {getattr(self, name)}, must be 0..0.9")
        object.__setattr__(self, "lanes", {**default_lanes(), **self.lanes})
        if self.lanes["critical"].durability_s:
            raise ValueError(
                "durability_s of lane critical must be 0: it is always durable at once"
            )


class Accepted(NamedTuple):
    """One event's place: its identity for ever is (device, epoch, lane, sequence).

    ``repeated`` means that its idempotency key was known and this is the first answer again.
    A named tuple, since one is made per event on the hottest path (a frozen dataclass costs
    three times as much to make).
    """

    epoch: int
    lane: str
    sequence: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class FrameRef:
    """A pending frame without its bytes.

    ``id`` rises in send order inside a lane and is good until the next ``apply_resume``;
    ``published`` means that it may have been sent before.
    """

    id: int
    address: Address
    epoch: int
    lane: str
    first: int
    span: int
    count: int
    digest: bytes
    size_bytes: int
    order: Order
    published: bool


@dataclass(frozen=True, slots=True)
class SettleResult:
    """What a receipt did.

    Attributes:
        freed: ids of the frames it settled, per status below.
        committed, gapped, unknown: how many of them had that status.
        repeated: entries about ranges that were settled before.
        unmatched: entries that match nothing here (another life's, forged or damaged).
    """

    freed: tuple[int, ...]
    committed: int
    gapped: int
    unknown: int
    repeated: int
    unmatched: int


@dataclass(frozen=True, slots=True)
class ResumeOutcome:
    """What a resume answer changed. Frame ids from before it are void.

    Attributes:
        covered_frames: never-published frames that the region had already, freed.
        resealed_frames: frames made of the rest of partly covered ones, or of a new epoch.
        returned_frames: receipted frames that the region lost and that are pending again.
        lost_events: events that the region lost and that are no longer kept: gaps now.
        rotated: a new epoch was opened (a fork is suspected, or the floor passed ours).
        fork_suspected: the region knows more of our epoch than we do, or other content.
        unasked_streams: streams beyond one resume's limit or at a former address in this
            region; ask about them when the others are drained.
        epoch: the epoch in force now.
    """

    covered_frames: int
    resealed_frames: int
    returned_frames: int
    lost_events: int
    rotated: bool
    fork_suspected: bool
    unasked_streams: int
    epoch: int


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The account of one lane: ``accepted == delivered + sum(gapped) + pending``."""

    lane: str
    accepted: int
    delivered: int
    gapped: Mapping[GapReason, int]
    pending: int

    @property
    def balanced(self) -> bool:
        """Whether the identity holds."""
        return self.accepted == self.delivered + sum(self.gapped.values()) + self.pending


@dataclass(frozen=True, slots=True)
class LaneStats:
    """Figures of one lane; staged events include those that ``window`` says are in memory."""

    lane: str
    staged_events: int
    pending_frames: int
    pending_events: int
    pending_bytes: int
    receipted_frames: int
    oldest_wall_ns: int | None
    ledger: LedgerLine
    window: WindowStats = field(default_factory=WindowStats)


@dataclass(frozen=True, slots=True)
class DamageReport:
    """What was found broken and what became of it.

    ``lost_events`` is an upper bound: numbers that may have been given to events.
    """

    found: str
    kept_as: str
    recovered_frames: int
    recovered_staged_events: int
    lost_events: int


@dataclass(frozen=True, slots=True)
class BufferStats:
    """Figures of the whole buffer.

    Attributes:
        epoch: this process's numbering.
        lanes: one entry per lane, most urgent first.
        size_bytes: everything on disk that counts against ``max_bytes``.
        free_bytes: room for new events before something must give way.
        receipted_bytes: bytes of receipted frames kept while there is room.
        quarantine_bytes: bytes kept aside.
        sealed_bytes_per_s: frames that came into being, over the last hour at most.
        settled_bytes_per_s: frames that the region has answered for, the same.
        counters: events of note since this process started, by name.
        damage: what the last salvage found, if any.
        durability: the promise behind an answered accept, in words.
    """

    epoch: int
    lanes: tuple[LaneStats, ...]
    size_bytes: int
    max_bytes: int
    free_bytes: int
    receipted_bytes: int
    quarantine_bytes: int
    counters: Mapping[str, int]
    damage: DamageReport | None
    durability: str = FULL_DURABILITY
    sealed_bytes_per_s: float = 0.0
    settled_bytes_per_s: float = 0.0

    @property
    def outage_left_s(self) -> float | None:
        """How long the region may be away before something gives way; None when nothing comes."""
        room = self.free_bytes + self.receipted_bytes
        return room / self.sealed_bytes_per_s if self.sealed_bytes_per_s else None

    @property
    def drain_left_s(self) -> float | None:
        """How long until what is pending has drained, at the rates of late; None when it grows."""
        pending = sum(lane.pending_bytes for lane in self.lanes)
        gain = self.settled_bytes_per_s - self.sealed_bytes_per_s
        if not pending:
            return 0.0
        return pending / gain if gain > 0 else None

    def lane(self, name: str) -> LaneStats:
        """Return the figures of one lane."""
        return next(lane for lane in self.lanes if lane.lane == name)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What ``verify`` recomputed; sound when ``problems`` is empty."""

    frames: int
    staged_events: int
    events: int
    receipted_frames: int
    ledger: tuple[LedgerLine, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """One event with its place, as ``export`` yields it."""

    epoch: int
    lane: str
    sequence: int
    event: Event


class BufferError(WhimbrelError):  # noqa: A001  the builtin of this name is about memory views
    """Base class of the buffer's errors."""


class AcceptError(BufferError):
    """One event of a group breaks a limit; nothing of the group was accepted.

    Attributes:
        index: its place in the group, from 0.
        error: the :class:`FieldError`, with field, value and rule.
    """

    def __init__(self, index: int, error: FieldError) -> None:
        super().__init__(f"event {index}: {error}")
        self.index = index
        self.error = error


class KeyReusedError(BufferError):
    """An idempotency key came again with other content; nothing of the group was accepted.

    Attributes:
        index: the event's place in the group, from 0.
    """

    def __init__(self, index: int) -> None:
        super().__init__(
            f"event {index}: its idempotency key stands for other content; use a new key for "
            "each request, and repeat a request with the same bytes"
        )
        self.index = index


class GroupTooBigError(BufferError):
    """One accept call holds more events or bytes than a transaction may."""


class BufferFullError(BufferError):
    """There is no room and the policies allow nothing to be dropped for these events."""


class TooManyWaitingError(BufferError):
    """Too many events wait for a commit; try again in a moment."""


class BufferLockedError(BufferError):
    """Another agent has this buffer open."""


class BufferVersionError(BufferError):
    """The file was written by a newer program; it was left as it is."""


class BufferBrokenError(BufferError):
    """The file was found damaged, or its disk failed, while in use: open the buffer again.

    Opening salvages what is intact. Nothing more is accepted by this object.
    """
