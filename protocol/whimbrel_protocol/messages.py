"""Every message besides frames, as frozen values, and their signed bytes.

Up (signed by the device): :class:`Resume`. Down (signed by the region): :class:`Receipt`,
:class:`ResumeAnswer`, :class:`Want`, :class:`Hold`. Payload: CBOR array ``[kind, map]``.
Births are a convenience and carry nothing that is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from . import cborform, cose
from .cborform import Reader
from .errors import FieldError, LocalProtocolError, RemoteProtocolError
from .frame import DIGEST_BYTES, MAX_EPOCH, MAX_TIME_NS, PROTOCOL_VERSION, UnsupportedVersionError
from .keys import PrivateKey
from .lanes import LANE_NUMBERS, LANES
from .limits import (
    MAX_PAYLOAD_BYTES,
    MAX_RANGES_PER_STREAM,
    MAX_RECEIPT_ENTRIES,
    MAX_RESUME_STREAMS,
    MAX_SPAN,
)
from .names import Address
from .sequences import MAX_SEQUENCE, RangeSet

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


@dataclass(frozen=True, slots=True)
class Credit:
    """How many bytes a device may have in flight, and for how long that holds."""

    size_bytes: int
    lifetime_s: int


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


Message = Resume | Receipt | ResumeAnswer | Want | Hold

_KINDS: Final[dict[type, int]] = {Resume: 1, Receipt: 16, ResumeAnswer: 17, Want: 18, Hold: 19}
MESSAGE_TYPES: Final = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A parsed message with its envelope. Verify the envelope before using the message."""

    signed: cose.Signed
    message: Message


def seal_message(message: Message, key: PrivateKey) -> bytes:
    """Return the signed bytes of a message.

    Raises:
        LocalProtocolError: it would be longer than a payload may be.
    """
    data = cose.sign(cborform.dump([_KINDS[type(message)], _to_map(message)]), key)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(
            f"{type(message).__name__} of {len(data)} bytes is longer than {MAX_PAYLOAD_BYTES}"
        )
    return data


def open_message(data: bytes) -> SignedMessage:
    """Parse a message and check its structure and limits, not its signature.

    Raises:
        UnsupportedVersionError: it speaks another protocol version.
        RemoteProtocolError: any rule of the format is broken, or the kind is unknown.
    """
    signed = cose.parse(data)
    parts = cborform.load(signed.payload, "message")
    if type(parts) is not list or len(parts) != 2 or type(parts[0]) is not int:
        raise RemoteProtocolError("message is not [kind, map]")
    read = _READERS.get(parts[0])
    if read is None:
        raise RemoteProtocolError(f"message kind {parts[0]} is not known")
    try:
        return SignedMessage(signed, read(Reader(parts[1], "message")))
    except FieldError as error:
        raise RemoteProtocolError(f"message: {error}") from error


# Keys: 1 version, 2..5 address, 6 nonce, 7 generation, 8 streams, 9 entries, 10 echo,
# 11 received, 12 sent, 13 credit bytes, 14 credit lifetime, 15 floor, 16 text, 17 retry.


def _to_map(message: Message) -> dict[int, object]:
    address = message.address
    fields: dict[int, object] = {
        1: PROTOCOL_VERSION,
        2: address.tenant,
        3: address.region,
        4: address.store,
        5: address.device,
    }
    match message:
        case Resume():
            fields[1] = message.version
            fields[6] = message.nonce
            fields[8] = [[s.epoch, LANE_NUMBERS[s.lane]] for s in message.streams]
            fields[12] = message.sent_ns
            fields[16] = message.software
        case Receipt():
            fields[7] = message.generation
            fields[9] = [_entry_list(entry) for entry in message.entries]
            fields[11], fields[12] = message.received_ns, message.sent_ns
            fields[13], fields[14] = message.credit.size_bytes, message.credit.lifetime_s
        case ResumeAnswer():
            fields[1] = message.version
            fields[6], fields[7] = message.nonce, message.generation
            fields[8] = [_state_list(state) for state in message.streams]
            fields[10], fields[11] = message.echo_sent_ns, message.received_ns
            fields[12], fields[15] = message.sent_ns, message.epoch_floor
            fields[13], fields[14] = message.credit.size_bytes, message.credit.lifetime_s
        case Want():
            fields[7] = message.generation
            fields[8] = [_state_list(state) for state in message.streams]
        case Hold():
            fields[16], fields[17] = message.reason[:MAX_TEXT], message.retry_s
    return fields


def _entry_list(entry: ReceiptEntry) -> list[object]:
    items: list[object] = [
        entry.epoch,
        LANE_NUMBERS[entry.lane],
        entry.first,
        entry.span,
        entry.digest,
        int(entry.status),
    ]
    return [*items, entry.reason] if entry.reason else items


def _state_list(state: StreamState) -> list[object]:
    return [
        state.epoch,
        LANE_NUMBERS[state.lane],
        RangeSet(state.ranges).to_bytes(),
        state.digest,
    ]


def _address(fields: Reader) -> Address:
    return Address(
        tenant=fields.text(2, "tenant"),
        region=fields.text(3, "region"),
        store=fields.text(4, "store"),
        device=fields.text(5, "device"),
    )


def _version(fields: Reader) -> int:
    version = fields.integer(1, "version", low=0, high=2**31)
    if version != PROTOCOL_VERSION:
        raise UnsupportedVersionError(version)
    return version


def _time(fields: Reader, key: int, name: str) -> int:
    return fields.integer(key, name, low=-(2**63), high=MAX_TIME_NS)


def _generation(fields: Reader) -> bytes:
    return fields.octets(7, "generation", size=GENERATION_BYTES)


def _credit(fields: Reader) -> Credit:
    return Credit(
        fields.integer(13, "credit", low=0, high=MAX_CREDIT_BYTES),
        fields.integer(14, "credit lifetime", low=0, high=MAX_CREDIT_LIFETIME_S),
    )


def _row(item: object, sizes: tuple[int, ...]) -> list[object]:
    if type(item) is not list or len(item) not in sizes:
        raise RemoteProtocolError(f"message: entry {item!r:.60} does not have {sizes[0]} items")
    return item


def _number(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise RemoteProtocolError(f"message: {value!r:.40} is not an integer in {low}..{high}")
    return value


def _lane(value: object) -> str:
    return LANES[_number(value, 0, len(LANES) - 1)]


def _digest(value: object, sizes: tuple[int, ...] = (DIGEST_BYTES,)) -> bytes:
    if type(value) is not bytes or len(value) not in sizes:
        raise RemoteProtocolError(f"message: digest {value!r:.40} is not {DIGEST_BYTES} bytes")
    return value


def _entry(item: object) -> ReceiptEntry:
    row = _row(item, (6, 7))
    return ReceiptEntry(
        epoch=_number(row[0], 1, MAX_EPOCH),
        lane=_lane(row[1]),
        first=_number(row[2], 1, MAX_SEQUENCE),
        span=_number(row[3], 1, MAX_SPAN),
        digest=_digest(row[4]),
        status=Status(_number(row[5], 0, max(Status))),
        reason=_number(row[6], 1, 255) if len(row) == 7 else 0,
    )


def _state(item: object) -> StreamState:
    row = _row(item, (4,))
    if type(row[2]) is not bytes:
        raise RemoteProtocolError("message: ranges of a stream are not a byte string")
    ranges = tuple(RangeSet.from_bytes(row[2]))
    if len(ranges) > MAX_RANGES_PER_STREAM:
        raise RemoteProtocolError(
            f"message: {len(ranges)} ranges of a stream, more than {MAX_RANGES_PER_STREAM}"
        )
    return StreamState(
        _number(row[0], 1, MAX_EPOCH), _lane(row[1]), ranges, _digest(row[3], (0, DIGEST_BYTES))
    )


def _states(fields: Reader) -> tuple[StreamState, ...]:
    return tuple(_state(item) for item in fields.items(8, "streams", most=MAX_RESUME_STREAMS))


def _question(item: object) -> StreamQuestion:
    row = _row(item, (2,))
    return StreamQuestion(_number(row[0], 1, MAX_EPOCH), _lane(row[1]))


def _read_resume(fields: Reader) -> Message:
    version = _version(fields)
    items = fields.items(8, "streams", most=MAX_RESUME_STREAMS)
    return Resume(
        address=_address(fields),
        nonce=fields.octets(6, "nonce", size=NONCE_BYTES),
        sent_ns=_time(fields, 12, "sent time"),
        streams=tuple(_question(item) for item in items),
        version=version,
        software=fields.text(16, "software")[:MAX_TEXT],
    )


def _read_receipt(fields: Reader) -> Message:
    _version(fields)
    items = fields.items(9, "entries", most=MAX_RECEIPT_ENTRIES)
    return Receipt(
        address=_address(fields),
        generation=_generation(fields),
        entries=tuple(_entry(item) for item in items),
        received_ns=_time(fields, 11, "received time"),
        sent_ns=_time(fields, 12, "sent time"),
        credit=_credit(fields),
    )


def _read_resume_answer(fields: Reader) -> Message:
    return ResumeAnswer(
        version=fields.integer(1, "version", low=1, high=2**31),
        address=_address(fields),
        nonce=fields.octets(6, "nonce", size=NONCE_BYTES),
        generation=_generation(fields),
        epoch_floor=fields.integer(15, "epoch floor", low=0, high=MAX_EPOCH),
        streams=_states(fields),
        echo_sent_ns=_time(fields, 10, "echoed time"),
        received_ns=_time(fields, 11, "received time"),
        sent_ns=_time(fields, 12, "sent time"),
        credit=_credit(fields),
    )


def _read_want(fields: Reader) -> Message:
    _version(fields)
    return Want(_address(fields), _generation(fields), _states(fields))


def _read_hold(fields: Reader) -> Message:
    _version(fields)
    return Hold(
        _address(fields),
        fields.text(16, "reason")[:MAX_TEXT],
        fields.integer(17, "retry", low=0, high=MAX_CREDIT_LIFETIME_S),
    )


_READERS: Final = {
    1: _read_resume,
    16: _read_receipt,
    17: _read_resume_answer,
    18: _read_want,
    19: _read_hold,
}
