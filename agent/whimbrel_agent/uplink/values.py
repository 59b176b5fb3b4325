"""What goes into the session machine and what comes out of it.

Inputs are in the past tense, effects in the imperative. The shell carries effects out in the
order they are given: store before send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whimbrel_agent.buffer.values import FrameRef
from whimbrel_agent.energy.flushing import Waiting
from whimbrel_agent.ports import Delivery, LinkFailure
from whimbrel_agent.uplink.budget import Spent
from whimbrel_agent.uplink.radio import RadioPlan
from whimbrel_protocol.messages import DictionaryAnswer, Receipt, ResumeAnswer


@dataclass(frozen=True, slots=True)
class Now:
    """A moment: seconds on the monotonic clock, and the wall clock beside it."""

    mono_s: float
    wall_ns: int


# ---------------------------------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True)
class LinkMade:
    """The broker that was asked for is connected and subscribed.

    ``newest`` is the greatest frame id per lane now: what lies at or below it is backlog.
    ``interface`` is the network interface that it goes out of, empty when unknown.
    """

    newest: Mapping[str, int]
    interface: str = ""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection could not be made, or ended."""

    failure: LinkFailure
    message: str


@dataclass(frozen=True, slots=True)
class NetworkReturned:
    """The machine has a route again: whoever waits for the network may try at once."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in on a down topic; nothing about it is known to be true yet."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class FramesSealed:
    """The buffer has new frames, in some lane; ``urgent`` ones may not wait for the radio."""

    urgent: bool = False


@dataclass(frozen=True, slots=True)
class UseRadio:
    """The radio is to be used by another plan from now on."""

    plan: RadioPlan


@dataclass(frozen=True, slots=True)
class EventsWait:
    """What waits in the buffer to be sealed, by lane; ``came``: since events were accepted."""

    waiting: tuple[Waiting, ...]
    came: bool


@dataclass(frozen=True, slots=True)
class FramesLoaded:
    """Answers :class:`LoadFrames`; fewer than its limit means that there are no more."""

    asked: LoadFrames
    frames: tuple[FrameRef, ...]


@dataclass(frozen=True, slots=True)
class FramesGone:
    """Frames are no longer there to be sent (evicted, damaged, quarantined)."""

    frames: tuple[FrameRef, ...]


@dataclass(frozen=True, slots=True)
class ReceiptsSettled:
    """The buffer has carried out every receipt it was given so far."""


@dataclass(frozen=True, slots=True)
class ResumeApplied:
    """The buffer has taken the region's answer; frame ids from before are void.

    ``unasked`` streams did not fit the question or wait at a former address; ask about the rest
    when everything else is settled.
    """

    newest: Mapping[str, int]
    unasked: int = 0


@dataclass(frozen=True, slots=True)
class ResumeNotApplied:
    """The buffer had no room to take the region's answer or receipts; ask again some time later."""


Input = (
    LinkMade
    | LinkLost
    | NetworkReturned
    | Arrived
    | FramesSealed
    | UseRadio
    | EventsWait
    | FramesLoaded
    | FramesGone
    | ReceiptsSettled
    | ResumeApplied
    | ResumeNotApplied
)

# --------------------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to the broker with this index."""

    broker: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End the connection; no :class:`LinkLost` is to follow."""

    why: str


@dataclass(frozen=True, slots=True)
class TakeAlong:
    """A session of the radio begins: seal whatever waits, since it is on anyway."""


@dataclass(frozen=True, slots=True)
class SendResume:
    """Ask the region, signed, with this nonce, about the buffer's streams.

    ``rest``: about those that no answer named yet, at a former address if that is where they are.
    """

    nonce: bytes
    rest: bool = False


@dataclass(frozen=True, slots=True)
class LoadFrames:
    """Read up to ``limit`` pending frames of a lane after an id.

    ``track`` and ``round`` come back untouched with the answer.
    """

    lane: str
    track: int
    round: int
    after_id: int
    limit: int


@dataclass(frozen=True, slots=True)
class Sending:
    """One frame to publish: to the replay topic when it may be late or a repetition."""

    frame: FrameRef
    replay: bool


@dataclass(frozen=True, slots=True)
class SendFrames:
    """Publish these, in this order, once "may have been published" is durable for them.

    ``spent`` is to be durable before, too: what they take of the month's budget.
    """

    sendings: tuple[Sending, ...]
    spent: Spent | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Free or account what this verified receipt names."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class TakeDictionaries:
    """Take the region's verified word on dictionaries, and send what it wants."""

    answer: DictionaryAnswer


@dataclass(frozen=True, slots=True)
class ApplyResume:
    """Take the region's verified answer; reply with one of the two words about it."""

    answer: ResumeAnswer


@dataclass(frozen=True, slots=True)
class RecheckFrame:
    """Many sends brought no answer: check its bytes and signature, quarantine it when bad."""

    frame: FrameRef
    sends: int


Effect = (
    Connect
    | Disconnect
    | TakeAlong
    | SendResume
    | LoadFrames
    | SendFrames
    | Settle
    | TakeDictionaries
    | ApplyResume
    | RecheckFrame
)
