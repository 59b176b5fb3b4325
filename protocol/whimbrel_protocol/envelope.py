"""Messages to signed bytes and back: payload ``[kind, map]`` inside COSE_Sign1.

Keys of the map: 1 version, 2..5 address, 6 nonce, 7 generation, 8 streams, 9 entries, 10 echo,
11 received, 12 sent, 13 credit bytes, 14 credit lifetime, 15 floor, 16 text, 17 retry,
18 packed dictionary, 19 needed, 20 names of dictionaries and their status, 21 detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import cborform, cose
from .cborform import Reader
from .errors import FieldError, LocalProtocolError, RemoteProtocolError
from .frame import DIGEST_BYTES
from .header import MAX_EPOCH, MAX_TIME_NS, PROTOCOL_VERSION, UnsupportedVersionError
from .keys import PrivateKey
from .lanes import LANE_NUMBERS, LANES
from .limits import (
    MAX_DICTIONARIES_NAMED,
    MAX_PAYLOAD_BYTES,
    MAX_RANGES_PER_STREAM,
    MAX_RECEIPT_ENTRIES,
    MAX_RESUME_STREAMS,
    MAX_SPAN,
)
from .messages import (
    GENERATION_BYTES,
    MAX_CREDIT_BYTES,
    MAX_CREDIT_LIFETIME_S,
    MAX_TEXT,
    NONCE_BYTES,
    Credit,
    Detail,
    DictionaryAnswer,
    DictionaryOffer,
    DictionaryStatus,
    Hold,
    Message,
    Receipt,
    ReceiptEntry,
    Resume,
    ResumeAnswer,
    Status,
    StreamQuestion,
    StreamState,
    Want,
)
from .names import Address
from .sequences import MAX_SEQUENCE, RangeSet

_KINDS: Final[dict[type, int]] = {
    Resume: 1,
    DictionaryOffer: 2,
    Receipt: 16,
    ResumeAnswer: 17,
    Want: 18,
    Hold: 19,
    DictionaryAnswer: 20,
}


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
            fields |= _credit_map(message.credit)
        case ResumeAnswer():
            fields[1] = message.version
            fields[6], fields[7] = message.nonce, message.generation
            fields[8] = [_state_list(state) for state in message.streams]
            fields[10], fields[11] = message.echo_sent_ns, message.received_ns
            fields[12], fields[15] = message.sent_ns, message.epoch_floor
            fields |= _credit_map(message.credit)
        case Want():
            fields[7] = message.generation
            fields[8] = [_state_list(state) for state in message.streams]
        case Hold():
            fields[16], fields[17] = message.reason[:MAX_TEXT], message.retry_s
        case DictionaryOffer():
            fields[18] = message.packed
            if message.needed:
                fields[19] = True
        case DictionaryAnswer():
            fields[7] = message.generation
            fields[20] = [[name, int(status)] for name, status in message.entries]
    return fields


def _credit_map(credit: Credit) -> dict[int, object]:
    fields: dict[int, object] = {13: credit.size_bytes, 14: credit.lifetime_s}
    return fields | {21: int(credit.detail)} if credit.detail else fields


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
        _detail(fields),
    )


def _detail(fields: Reader) -> Detail:
    """Read how much is asked for; a later version may know of less than we do."""
    return Detail(min(fields.integer(21, "detail", low=0, high=255, default=0), max(Detail)))


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


def _read_offer(fields: Reader) -> Message:
    _version(fields)
    packed, needed = fields.rest.pop(18, None), fields.rest.pop(19, False)
    if type(packed) is not bytes or type(needed) is not bool:
        raise RemoteProtocolError("message: a dictionary's bytes or its mark are not of their form")
    return DictionaryOffer(_address(fields), packed, needed)


def _dictionary_entry(item: object) -> tuple[bytes, DictionaryStatus]:
    row = _row(item, (2,))
    return _digest(row[0]), DictionaryStatus(_number(row[1], 0, max(DictionaryStatus)))


def _read_dictionaries(fields: Reader) -> Message:
    _version(fields)
    items = fields.items(20, "dictionaries", most=MAX_DICTIONARIES_NAMED)
    return DictionaryAnswer(
        _address(fields), _generation(fields), tuple(_dictionary_entry(item) for item in items)
    )


_READERS: Final = {
    1: _read_resume,
    2: _read_offer,
    16: _read_receipt,
    17: _read_resume_answer,
    18: _read_want,
    19: _read_hold,
    20: _read_dictionaries,
}
