"""Every message besides frames, as frozen values.

Up (signed by the device): :class:`Resume`, :class:`DictionaryOffer`. Down (signed by the region):
:class:`Receipt`, :class:`ResumeAnswer`, :class:`Want`, :class:`Hold`, :class:`DictionaryAnswer`. Their bytes are made and read by
:mod:`whimbrel_protocol.envelope`. Births are a convenience and carry nothing that is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .header import PROTOCOL_VERSION
from .names import Address

NONCE_BYTES: Final = 16
GENERATION_BYTES: Final = 8
MAX_CREDIT_BYTES: Final = 2**40
MAX_CREDIT_LIFETIME_S: Final = 7 * 24 * 3600
MAX_TEXT: Final = 400


class Status(IntEnum):
    """What the region's journal says about a frame. Numbers are on the wire."""

    COMMITTED = 0
    """Its events are in the journal, exactly once."""
    GAPPED = 1
    """Its sequences are in the journal as a gap; the events will not be served."""
    COMMITTED_UNKNOWN = 2
    """Its range was settled long ago; the digest is past retention."""


@dataclass(frozen=True, slots=True)
class ReceiptEntry:
    """The region's word on one frame: epoch, lane, first, span, digest (8 bytes), status.

    ``reason`` is the :class:`GapReason` of a gapped frame, else 0.
    """

    epoch: int
    lane: str
    first: int
    span: int
    digest: bytes
    status: Status
    reason: int = 0


class Detail(IntEnum):
    """How much of its series of numbers the region asks of a device. Numbers are on the wire."""

    FULL = 0
    """Everything."""
    SAMPLED = 1
    """Every other value of each series in a frame."""
    SUMMARISED = 2
    """One summary of each series in a frame."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How many bytes a device may have in flight, in which detail, and for how long that holds."""

    size_bytes: int
    lifetime_s: int
    detail: Detail = Detail.FULL


@dataclass(frozen=True, slots=True)
class Receipt:
    """Frames settled in the journal of ``generation``.

    ``received_ns`` and ``sent_ns`` are the region's wall clock when the newest frame named
    here came in and when this receipt was made; with the device's own two stamps they give
    the clock offset (NTP, RFC 5905 section 8).
    """

    address: Address
    generation: bytes
    entries: tuple[ReceiptEntry, ...]
    received_ns: int
    sent_ns: int
    credit: Credit


@dataclass(frozen=True, slots=True)
class StreamQuestion:
    """A stream that a device asks about: its epoch and lane."""

    epoch: int
    lane: str


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the region holds of one stream: settled ranges and the digest at the high water.

    ``digest`` is that of the frame ending at the high-water sequence, empty when unknown.
    """

    epoch: int
    lane: str
    ranges: tuple[tuple[int, int], ...]
    digest: bytes = b""

    @property
    def high_water(self) -> int:
        """The greatest n such that 1..n are settled."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 1 else 0


@dataclass(frozen=True, slots=True)
class Resume:
    """A device asks, before it publishes anything, what the region has of its streams."""

    address: Address
    nonce: bytes
    sent_ns: int
    streams: tuple[StreamQuestion, ...]
    version: int = PROTOCOL_VERSION
    software: str = ""


@dataclass(frozen=True, slots=True)
class ResumeAnswer:
    """The answer to the :class:`Resume` with the same nonce.

    ``epoch_floor``: epochs below it were folded; a device must number above it.
    ``echo_sent_ns`` repeats the device's stamp; the other two are the region's.
    """

    address: Address
    nonce: bytes
    generation: bytes
    version: int
    epoch_floor: int
    streams: tuple[StreamState, ...]
    echo_sent_ns: int
    received_ns: int
    sent_ns: int
    credit: Credit


@dataclass(frozen=True, slots=True)
class Want:
    """The region could not take a frame yet: what it holds of that lane, to fill holes first."""

    address: Address
    generation: bytes
    streams: tuple[StreamState, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """The region does not take frames from this device now; the device keeps them."""

    address: Address
    reason: str
    retry_s: int


@dataclass(frozen=True, slots=True)
class DictionaryOffer:
    """A device gives the region a dictionary to keep.

    ``packed`` is its content as :mod:`whimbrel_protocol.dictionaries` packs it; ``needed`` says
    that frames which name it wait on the device, so that it must find room.
    """

    address: Address
    packed: bytes
    needed: bool = False


class DictionaryStatus(IntEnum):
    """What the region says about a dictionary. Numbers are on the wire."""

    KEPT = 0
    """It is durable there; frames may name it."""
    WANTED = 1
    """A frame named it, and it is not there: send it, then the frame again."""
    NO_ROOM = 2
    """It was offered and is not kept; do without it."""


@dataclass(frozen=True, slots=True)
class DictionaryAnswer:
    """The region's word on dictionaries of one device, by name (8 bytes)."""

    address: Address
    generation: bytes
    entries: tuple[tuple[bytes, DictionaryStatus], ...]


Message = Resume | Receipt | ResumeAnswer | Want | Hold | DictionaryOffer | DictionaryAnswer
MESSAGE_TYPES: Final = (
    *(Resume, Receipt, ResumeAnswer, Want, Hold),
    *(DictionaryOffer, DictionaryAnswer),
)
